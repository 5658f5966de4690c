import json
import random

import pytest

from mmgen.cluster.replay import ReplayDiffers, StreamReplay

SSE = "text/event-stream; charset=utf-8"


def event(index: int, text: str, created: int = 1) -> bytes:
    return b"data: " + json.dumps({"created": created, "choices": [{"index": index, "delta": text}]}).encode() + b"\n\n"


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    places = sorted(rng.sample(range(len(data)), min(5, len(data))))
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_however_it_dies_the_client_gets_the_undisturbed_stream(seed: int) -> None:
    rng = random.Random(seed)
    whole = b"".join(event(0, f"word{number}") for number in range(30)) + b"data: [DONE]\n\n"
    replay, got = StreamReplay(SSE), b""
    for _ in range(rng.randint(0, 4)):
        for piece in cut(whole[: rng.randrange(len(whole))], rng):
            got += replay.fresh(piece)
        replay.again()
    for piece in cut(whole, rng):
        got += replay.fresh(piece)
    assert got + replay.fresh(b"", last=True) == whole


def test_answers_side_by_side_may_come_in_another_order_and_at_another_time() -> None:
    replay = StreamReplay(SSE)
    first = event(0, "a") + event(1, "x") + event(0, "b")
    assert replay.fresh(first) == first
    replay.again()
    again = [event(1, "x", 2), event(1, "y", 2), event(0, "a", 2), event(0, "b", 2), event(0, "c", 2)]
    assert replay.fresh(b"".join(again)) == again[1] + again[4] and replay.skipped == 3


def test_another_answer_is_told_and_not_sent() -> None:
    replay = StreamReplay(SSE)
    replay.fresh(event(0, "a") + event(0, "b"))
    replay.again()
    assert replay.fresh(event(0, "a")) == b""
    with pytest.raises(ReplayDiffers, match="computes another answer than the one that died; send the request again"):
        replay.fresh(event(0, "c"))


def test_lines_and_whole_answers() -> None:
    lines = StreamReplay("application/x-ndjson")
    assert lines.fresh(b'{"a": 1}\n{"b"') == b'{"a": 1}\n'
    lines.again()
    assert lines.fresh(b'{"a": 1}\n{"b": 2}') == b"" and lines.fresh(b"", last=True) == b'{"b": 2}'
    image = StreamReplay("image/png")
    assert image.fresh(b"\x89PNG") == b"\x89PNG"
    image.again()
    assert image.fresh(b"\x89PN") + image.fresh(b"G12") == b"12"
    image.again()
    with pytest.raises(ReplayDiffers):
        image.fresh(b"GIF")
