"""A text is at most a stated multiple of its file; what is cut is told."""

from mmgen.ingest.extraction.limits import GROWTH, ROOM, ExtractionLimits, bounded
from mmgen.ingest.records import PARTIAL


def test_what_fits_stays_as_it_is() -> None:
    whole = "x" * ROOM, (0, 5), {"title": "A"}
    assert bounded(whole, 0) == (*whole, ())


def test_what_is_too_long_is_cut_after_a_line_and_told() -> None:
    text, pages, metadata, _ = bounded(("a line\n" * ROOM, (0, 70, 7 * ROOM), {PARTIAL: "page 2 is a picture"}), 100)
    assert len(text) + 7 >= ROOM and len(text) <= GROWTH * 100 + ROOM and text.endswith("a line")
    assert pages == (0, 70)
    missing = f"what follows character {len(text):,} of 7,340,032: the text is more than 16 times as long as the file"
    assert metadata == {PARTIAL: f"page 2 is a picture; {missing}"}


def test_a_line_without_end_is_cut_anywhere() -> None:
    assert len(bounded(("x" * 2 * ROOM, (), {}), 0)[0]) == ROOM


def test_large_files_get_more() -> None:
    limits = ExtractionLimits(seconds=10, memory=2**20)
    assert (limits.seconds_for(2**20), limits.memory_for(2**20)) == (12, 17 * 2**20)
