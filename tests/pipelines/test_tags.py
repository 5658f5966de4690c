"""The nearest captions of a list, the vectors of images, and a search through the pipeline's door."""

from pathlib import Path

import numpy as np
import pytest
from color_encoder import drawn
from PIL import Image

from mmgen.errors import BadRequest, NotFound
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.image_embed import image_embed
from mmgen.pipelines.tags import tags
from mmgen.runtime import Runtime


def test_the_nearest_of_a_file(painter: Runtime, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("all green\nall red\n\nall blue\nall red\n")
    found = tags(painter, drawn(tmp_path / "a.png", "red"), among=tmp_path / "captions.txt", k=2)
    assert found.tags[0].caption == "all red" and found.tags[0].similarity == pytest.approx(1, abs=0.01)
    assert (found.image, found.among, len(found.tags)) == ("a.png", 3, 2)
    read = len(painter.image_encoder().read)  # type: ignore[attr-defined]
    again = tags(painter, drawn(tmp_path / "b.png", "blue"), among=tmp_path / "captions.txt", k=1)
    assert again.tags[0].caption == "all blue" and str(again) == f"{again.tags[0].similarity:.3f}  all blue"
    assert len(painter.image_encoder().read) == read  # type: ignore[attr-defined]  # the vectors were kept


def test_english_words_or_the_models_own(painter: Runtime, colours: Path) -> None:
    found = tags(painter, Image.new("RGB", (9, 9), "yellow"))
    assert found.tags[0].caption == "yellow" and found.among == 10_000 and len(found.tags) == 10
    (colours / "captions.txt").write_text("a red dot\na yellow dot\n")
    assert tags(painter, Image.new("RGB", (9, 9), "yellow")).tags[0].caption == "a yellow dot"


def test_lists_that_cannot_be_used(painter: Runtime, tmp_path: Path) -> None:
    image = Image.new("RGB", (9, 9))
    with pytest.raises(NotFound, match="it should hold a word a line"):
        tags(painter, image, among=tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    with pytest.raises(BadRequest, match="has no captions to choose from"):
        tags(painter, image, among=tmp_path / "empty.txt")
    with pytest.raises(BadRequest, match="k is 0"):
        tags(painter, image, k=0)


def test_vectors(painter: Runtime, tmp_path: Path) -> None:
    found = image_embed(painter, [drawn(tmp_path / "a.png", "red"), Image.new("RGBA", (9, 9), (255, 0, 0, 255))])
    assert found.vectors.shape == (2, 12) and found.names == ["a.png", ""]
    np.testing.assert_allclose(found.vectors[0], found.vectors[1], atol=1e-6)
    assert found.to_dict()["vectors"][0] == found.vectors[0].tolist()
    assert image_embed(painter, tmp_path / "a.png").vectors.shape == (1, 12)  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="there are no images"):
        image_embed(painter, [])


def test_search_by_name(painter: Runtime, tmp_path: Path) -> None:
    search = pipeline("image-search", runtime=painter, store="p")
    drawn(tmp_path / "p" / "apple.png", "red")
    drawn(tmp_path / "p" / "sea.png", "blue")
    assert len(search.add(tmp_path / "p").added) == 2
    assert str(search("blue", k=1)[0]) == "sea.png" and str(search(image=tmp_path / "p" / "apple.png")[0]) == "apple.png"
    with pytest.raises(BadRequest, match="nothing to look for"):
        search()
    search.close()
