"""Files to documents, and which of them are held out."""

import gzip
from pathlib import Path

import pytest
import tiny_corpus

from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.training.data import text_files


def test_json_lines_and_plain_text(tmp_path: Path) -> None:
    tiny_corpus.write(tmp_path, ["one \r\ntwo\r\n", "three"])
    (tmp_path / "z.txt.gz").write_bytes(gzip.compress("four\rfünf".encode()))
    (tmp_path / "README.md").write_text("no document")
    assert list(text_files.read(text_files.files(tmp_path))) == ["one\ntwo\n", "three", "four\nfünf"]


def test_held_out_documents_depend_on_their_text_alone() -> None:
    every = tiny_corpus.documents(200)
    train, held = text_files.split(every, 0.1)
    assert 8 <= len(held) <= 35 and sorted(train + held) == sorted(every)
    _, of_half = text_files.split(every[:100], 0.1)
    assert of_half == [text for text in held if text in every[:100]]


def test_a_copy_of_a_training_document_is_not_held_out() -> None:
    one, two, three = tiny_corpus.documents(3, words=3000)
    quoting = three[:9000] + two[5000:5200] + three[9000:]
    assert text_files.copied([f"Preface. {two[100:]}", three, quoting, "short"], [one, two]) == [True, False, False, False]


def test_the_end_of_a_single_document() -> None:
    assert text_files.split(["0123456789"], 0.1) == (["012345678"], ["9"])


@pytest.mark.parametrize(
    ("line", "said"),
    [("{", "line 2: no JSON"), ("[1]", "line 2: a list"), ('{"body": "x"}', r'has no "text" \(body\)')],
)
def test_a_bad_line(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "good"}}\n{line}\n')
    with pytest.raises(UnreadableFile, match=said):
        list(text_files.read([path]))


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        text_files.files(None)
    with pytest.raises(NotFound, match=r"holds none of \*\.jsonl"):
        text_files.files(tmp_path)
    (tmp_path / "broken.txt.gz").write_bytes(b"not gzip")
    with pytest.raises(UnreadableFile, match=r"broken\.txt\.gz cannot be read"):
        list(text_files.read(text_files.files(tmp_path)))
