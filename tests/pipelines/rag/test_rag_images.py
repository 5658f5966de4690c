"""Images beside an answer: found for the question, told with their reasons, and no part of what the reader reads."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_call import Call
from color_encoder import drawn

from mmgen.errors import BadRequest, NotFound
from mmgen.interfaces import ImageHit
from mmgen.pipelines.rag.rag_images import why
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    drawn(folder / "lamp.png", "red")
    drawn(folder / "sea.png", "blue")
    (folder / "lamp.html").write_text('<p>The red lamp was lit in 1823.</p><img src="img/x.png" alt="A lamp on a tower">')
    drawn(folder / "img" / "x.png", "green")
    return folder


@pytest.fixture
def rag(painter: Runtime, folder: Path) -> Iterator[RagText]:
    rag = RagText(painter, store="docs")
    rag.add(folder, images=True)
    yield rag
    rag.close()


def test_images_come_with_the_answer(rag: RagText) -> None:
    events = list(rag.stream("When was the blue lit?", images=2, threshold=0.0))
    assert [event.kind for event in events] == ["passages", "images", "candidates", "answer"]
    answer = events[-1].value
    assert answer.images == events[1].value and len(answer.images) == 2
    first = answer.images[0]
    assert str(first) == "sea.png" and first.why.startswith("what it shows (cosine ")
    assert f"image 1: sea.png, by {first.why}" in str(answer)
    back = json.loads(json.dumps(answer.to_dict()))["images"]
    assert back[0]["uri"] == first.uri and back[0]["score"] == pytest.approx(first.score) and back[0]["why"] == first.why


def test_the_answer_is_the_same_without(rag: RagText) -> None:
    bare, shown = (rag("When was the red lamp lit?", images=n, threshold=0.0) for n in (0, 3))
    assert bare.images == [] and len(shown.images) == 3
    assert (bare.text, bare.confidence, bare.citations) == (shown.text, shown.confidence, shown.citations)
    for citation in shown.citations:
        assert citation.document.endswith("lamp.html")


def test_captions_find_images_in_documents(rag: RagText) -> None:
    best = rag("What stands on the tower?", images=1).images[0]
    assert (str(best), best.caption, best.page) == ("lamp.html", "A lamp on a tower", None)
    assert best.why.startswith('words of its caption "A lamp on a tower", and what it shows')


def test_an_abstention_has_them_too(rag: RagText) -> None:
    answer = rag("Who is blue?", images=1, threshold=1.0)
    assert answer.abstained and str(answer.images[0]) == "sea.png"


def test_filters_hold_for_images(rag: RagText) -> None:
    assert rag("red", images=3, where=["kind=image"]).passages == []
    assert rag("red", images=3, where=["kind=html"]).images == []


@pytest.mark.parametrize("images", [-1, 101, True, 1.5])
def test_values_out_of_range(rag: RagText, images: int) -> None:
    with pytest.raises(BadRequest, match=r"images is .*; it can be 0 \(none\) to 100"):
        rag("red?", images=images)


def test_a_store_without_images(painter: Runtime, folder: Path) -> None:
    rag = RagText(painter, store="texts")
    rag.add(folder)
    with pytest.raises(NotFound, match="holds no images; add some first: mmgen image add"):
        rag("red?", images=1)
    assert rag("red?").images == []
    rag.close()


def test_why() -> None:
    hit = ImageHit(1, 1, "a", "a", None, "The sea", 1, 1, 0.5, {}, {"text": 0.25})
    assert why(hit) == "what it shows (cosine 0.25)"


@pytest.mark.usefixtures("colour_home")
def test_on_the_command_line(call: Call, folder: Path) -> None:
    call("rag", "add", folder, "--images")
    said = call("rag", "ask", "When was the blue lit?", "--images", 1, "--threshold", 0).out.splitlines()
    assert said[-2] == "  image 1: sea.png" and said[-1].strip().startswith("by what it shows (cosine ")
    abstained = call("rag", "ask", "When was the blue lit?", "--images", 1, "--threshold", 1).out
    assert "Not in the documents" in abstained and "image 1: sea.png" in abstained
    chatted = call("rag", "chat", "--images", 1, stdin=b"Where is blue?\n").out
    assert "image 1: sea.png" in chatted
