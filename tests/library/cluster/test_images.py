from pathlib import Path
from typing import Any

from color_encoder import drawn

from mmgen.library.document_library import DocumentLibrary
from mmgen.runtime import Runtime


def test_images_are_stored_as_if_one_process_had_read_them(painter: Runtime, tmp_path: Path, sent: list[str], on: Any) -> None:
    on(painter)
    folder = tmp_path / "p"
    drawn(folder / "apple.png", "red")
    drawn(folder / "sea.jpg", "blue")
    drawn(folder / "again.png", "red")
    (folder / "broken.png").write_bytes(b"no image")
    library = DocumentLibrary.open(painter, "images")
    gallery = library.gallery()
    report = gallery.add(folder, ray="here")
    assert len(report.added) == 2 and len(report.duplicates) == 1 and len(report.skipped) == 1
    assert Path(str(gallery.search("blue", k=1)[0])).name == "sea.jpg"
    assert {stage: rate.items for stage, rate in report.stages.items()} == {"read": 4, "embed": 3, "write": 4}
    sent.clear()
    assert len(gallery.add(folder, ray="here").unchanged) == 2
    assert len(sent) == 2, "what is stored is not sent again"
    library.close()
