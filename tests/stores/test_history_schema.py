"""An entry from its row, and as JSON."""

from mmgen.stores import history_schema
from mmgen.stores.history_schema import HistoryFile


def test_an_entry_from_a_row() -> None:
    entry = history_schema.entry(("r1", "txt2img", 5.0, '{"prompt": "a"}', '{"seeds": [1]}', 3), [HistoryFile("1.png", 9)])
    assert entry.asked == {"prompt": "a"} and entry.files == [HistoryFile("1.png", 9)]
    assert entry.to_dict()["files"] == [{"name": "1.png", "bytes": 9}] and entry.to_dict()["kind"] == "txt2img"
