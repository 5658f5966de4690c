"""Images into a store and found there, through an encoder that sees colours."""

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from color_encoder import WORDS, drawn
from PIL import Image

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, NotFound, StoreError
from mmgen.library.document_indexing import IndexProgress
from mmgen.library.document_library import DocumentLibrary
from mmgen.library.image_library import ImageLibrary
from mmgen.runtime import Runtime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    drawn(tmp_path / "p" / "apple.png", "red")
    drawn(tmp_path / "p" / "deep" / "sea.jpg", "blue")
    drawn(tmp_path / "p" / "flag.webp", "red", "blue")
    (tmp_path / "p" / "notes.txt").write_text("no image")
    return tmp_path / "p"


@pytest.fixture
def gallery(painter: Runtime) -> Iterator[ImageLibrary]:
    library = DocumentLibrary.open(painter, "images")
    yield library.gallery()
    library.close()


def names(found: object) -> list[str]:
    return [Path(str(one)).name for one in found]  # type: ignore[attr-defined]


def test_from_a_folder_and_found(gallery: ImageLibrary, folder: Path) -> None:
    report = gallery.add(folder)
    assert names(report.added) == ["apple.png", "flag.webp", "sea.jpg"] and str(report).startswith("3 images added in ")
    assert [str(hit) for hit in gallery.search("red")] == ["apple.png", "flag.webp", "sea.jpg"]
    assert str(gallery.search("blue", k=1)[0]) == "sea.jpg"
    like = gallery.search(image=Image.open(folder / "flag.webp"), k=1)[0]
    assert str(like) == "flag.webp" and like.score == pytest.approx(1, abs=1e-4)
    assert str(gallery.search("blue", Image.open(folder / "apple.png"), weight=0.5)[0]) == "flag.webp"


def test_what_did_not_change_is_left_alone(gallery: ImageLibrary, folder: Path) -> None:
    gallery.add(folder)
    model = gallery.client(gallery.filled()).model
    before = len(model.seen)
    again = gallery.add(folder)
    assert len(again.unchanged) == 3 and not again.added and len(model.seen) == before
    drawn(folder / "apple.png", "green")
    changed = gallery.add(folder)
    assert names(changed.added) == ["apple.png"] and gallery.filled().count() == 3
    assert str(gallery.search("green", k=1)[0]) == "apple.png"
    tagged = gallery.add(folder, metadata={"album": "summer"})
    assert len(tagged.added) == 3 and gallery.filled().count() == 3
    assert len(gallery.add(folder, metadata={"album": "summer"}).unchanged) == 3


def test_the_same_bytes_twice(gallery: ImageLibrary, folder: Path) -> None:
    shutil.copy(folder / "apple.png", folder / "copy.png")
    report = gallery.add(folder)
    assert [names(pair) for pair in report.duplicates] == [["copy.png", "apple.png"]] and gallery.filled().count() == 3
    later = shutil.copy(folder / "apple.png", folder.parent / "later.png")
    assert [names(pair) for pair in gallery.add(later).duplicates] == [["later.png", "apple.png"]]
    assert names(gallery.add(folder, keep_duplicates=True).added) == ["copy.png"] and gallery.filled().count() == 4


def test_the_same_image_saved_anew(gallery: ImageLibrary, tmp_path: Path) -> None:
    noise = Image.effect_noise((300, 200), 90).convert("RGB").resize((30, 20)).resize((600, 400), Image.Resampling.BICUBIC)
    for number, name in enumerate(("one.png", "other.png")):
        noise.transpose(Image.Transpose.ROTATE_180 if number else Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / name)
    assert len(gallery.add(tmp_path).added) == 2
    Image.open(tmp_path / "one.png").resize((200, 133)).save(tmp_path / "small.jpg", quality=60)
    assert [names(pair) for pair in gallery.add(tmp_path).near] == [["small.jpg", "one.png"]]
    assert len(gallery.add(tmp_path, keep_duplicates=True).added) == 1
    noise.save(tmp_path / "one.png")  # its own former self is no duplicate
    assert names(gallery.add(tmp_path / "one.png").added) == ["one.png"]


def test_other_colours_are_no_duplicate(gallery: ImageLibrary, tmp_path: Path) -> None:
    for colour in WORDS:
        drawn(tmp_path / f"{colour}.png", colour)
    assert len(gallery.add(tmp_path).added) == len(WORDS)


def test_near_duplicates_within_one_call(gallery: ImageLibrary, folder: Path) -> None:
    Image.open(folder / "flag.webp").save(folder / "zflag.png")
    assert [names(pair) for pair in gallery.add(folder).near] == [["zflag.png", "flag.webp"]]


def test_one_bad_file_costs_only_itself(gallery: ImageLibrary, folder: Path) -> None:
    (folder / "a.png").write_text("text")
    (folder / "b.png").write_bytes((folder / "apple.png").read_bytes()[:60])
    report = gallery.add([folder, *folder.glob("*.txt")])
    assert len(report.added) == 3 and names(path for path, _ in report.skipped) == ["a.png", "b.png", "notes.txt"]
    reasons = " ".join(reason for _, reason in report.skipped)
    assert "a.png is no image" in reasons and "b.png cannot be read" in reasons and "notes.txt is no image" in reasons


def test_images_in_documents(gallery: ImageLibrary, tmp_path: Path) -> None:
    inline = base64.b64encode(drawn(tmp_path / "x" / "s.png", "yellow").read_bytes()).decode()
    dot = base64.b64encode(drawn(tmp_path / "x" / "dot.png", "green", size=4).read_bytes()).decode()
    page = tmp_path / "page.html"
    page.write_text(
        f'<img src="data:image/png;base64,{inline}" alt="The sun"><img src="data:image/png;base64,{dot}">'
        '<img src="data:image/png;base64,AAAA" alt="broken">'
    )
    assert names(gallery.add(page).added) == ["page.html#picture-1"]
    hit = gallery.search("yellow")[0]
    assert (str(hit), hit.caption, hit.source) == ("page.html, picture-1", "The sun", str(page))
    assert gallery.search("sun", k=1)[0].scores["caption"] > 0
    assert gallery.add(page).unchanged == [str(page)]
    page.write_text("<p>No image any more</p>")
    assert gallery.add(page).added == [] and gallery.handle.readable().uris() == []


def test_filters_and_what_the_files_say(gallery: ImageLibrary, folder: Path) -> None:
    exif = Image.Exif()
    exif[306], exif[0x010E] = "2019:05:06 07:08:09", "A lemon"
    drawn(folder / "lemon.jpg", "yellow", exif=exif, quality=95)
    gallery.add(folder)
    (hit,) = gallery.search("red", where=["year<2020", "width=48"])
    assert hit.caption == "A lemon" and hit.metadata["taken"] == "2019-05-06T07:08:09"
    assert [str(hit) for hit in gallery.search("red", where=["taken>=2019-05"])] == ["lemon.jpg"]


def test_sync_removes_what_vanished_first(gallery: ImageLibrary, folder: Path) -> None:
    gallery.add(folder)
    (folder / "apple.png").rename(folder / "moved.png")
    report = gallery.add(folder, sync=True)
    assert names(report.removed) == ["apple.png"] and names(report.added) == ["moved.png"] and not report.duplicates


def test_text_and_images_in_one_store(gallery: ImageLibrary, folder: Path) -> None:
    library = DocumentLibrary(gallery.handle)
    library.add(folder / "notes.txt")
    gallery.add(folder)
    assert library.search("image")[0].uri == str(folder / "notes.txt") and len(library.readable().uris()) == 4
    library.add(folder, sync=True, images=False)
    assert len(library.readable().uris()) == 4


def test_rag_add_takes_images_where_there_are_some(painter: Runtime, folder: Path, tmp_path: Path) -> None:
    library = DocumentLibrary.open(painter, "notes")
    assert library.add(folder).images is None
    report = library.add(folder, images=True)
    assert report.images is not None and len(report.images.added) == 3 and len(report.unchanged) == 1
    assert str(report).endswith(f"; 3 images added in {report.images.seconds:.1f} s")
    drawn(folder / "lime.png", "green")
    report = library.add([folder / "lime.png"])  # by now it has images, and an image is no text
    assert report.images is not None and names(report.images.added) == ["lime.png"] and not report.skipped
    (folder / "lime.png").unlink()
    report = library.add(folder, sync=True)
    assert report.images is not None and names(report.images.removed) == ["lime.png"] and report.removed == []
    with pytest.raises(BadRequest, match="no files to read"):
        library.add(tmp_path / "home", include=["*.none"])
    library.close()


def test_nothing_to_read(gallery: ImageLibrary, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRequest, match=r"empty: no images to read; give files or a folder with png, jpeg"):
        gallery.add(tmp_path / "empty")
    with pytest.raises(NotFound, match="does not exist"):
        gallery.add(tmp_path / "none")
    assert not gallery.path.exists()


def test_nothing_there(gallery: ImageLibrary, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no store at"):
        gallery.search("red")
    DocumentLibrary(gallery.handle).add(folder / "notes.txt")
    with pytest.raises(NotFound, match="holds no images; add some first: mmgen image add"):
        gallery.search("red")


def test_queries_that_cannot_be_answered(gallery: ImageLibrary, folder: Path) -> None:
    gallery.add(folder)
    for query, options, message in (
        (" ", {}, "there is nothing to look for"),
        ("red", {"k": 0}, "k is 0; it can be 1 to 1000"),
        ("red", {"weight": float("nan")}, "weight is nan; it can be 0"),
        ("red", {"where": ["???"]}, "cannot be understood"),
    ):
        with pytest.raises(BadRequest, match=message):
            gallery.search(query, **options)  # type: ignore[arg-type]


def test_another_encoder_is_refused(gallery: ImageLibrary, folder: Path, colours: Path, tmp_path: Path) -> None:
    gallery.add(folder)
    other = shutil.copytree(colours, tmp_path / "other")
    with pytest.raises(StoreError, match=r"the images of store .* were embedded by .*, not .*other; use that encoder"):
        ImageLibrary(gallery.handle, str(other)).search("red")
    with pytest.raises(StoreError, match="use that encoder, or another --store"):
        ImageLibrary(gallery.handle, str(other)).add(folder)


def test_progress_and_cancel(gallery: ImageLibrary, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.library.image_indexing.AT_ONCE", 1)
    steps: list[IndexProgress] = []
    request = Request.new()

    def tell(step: IndexProgress) -> None:
        steps.append(step)
        if step.files == 2:
            request.cancel()

    with pytest.raises(Cancelled):
        gallery.add(folder, progress=tell, request=request)
    assert [(step.files, step.of, step.added) for step in steps] == [(1, 3, 1), (2, 3, 2)]
    assert gallery.filled().count() == 2
    assert names(gallery.add(folder).added) == ["sea.jpg"]


def test_large_images_wait_small(gallery: ImageLibrary, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 1500), "red").save(tmp_path / "a.jpg")
    gallery.add(tmp_path / "a.jpg")
    assert gallery.client(gallery.filled()).model.seen == [(1024, 512)]
    assert gallery.search(image=Image.new("RGB", (3000, 1500), "red"))[0].metadata["width"] == 3000
