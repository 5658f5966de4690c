from typing import Any

import pytest

from mmgen.serve.cluster.forwarding import FORWARDED, prompt, seeded, units


@pytest.mark.parametrize(
    ("told", "place", "found"),
    [
        ({}, ("seed",), {"seed": 5}),
        ({"seed": -1}, ("seed",), {"seed": 5}),
        ({"seed": 0}, ("seed",), {"seed": 0}),
        ({"options": {"top_k": 1}}, ("options", "seed"), {"options": {"top_k": 1, "seed": 5}}),
        ({"options": "wrong"}, ("options", "seed"), {"options": "wrong"}),
    ],
)
def test_seeds(told: dict[str, Any], place: tuple[str, ...], found: dict[str, Any]) -> None:
    assert seeded(told, place, 5) == found


def test_what_a_call_asks_for() -> None:
    chat, draw, embed = (FORWARDED[path] for path in ("/v1/chat/completions", "/v1/images/generations", "/v1/embeddings"))
    assert units(chat, {"max_tokens": 10, "n": 2}) == 20 and units(chat, {"max_tokens": "x"}) == 256
    for told, asked in ((3, 3), (-1, 256), ("x", 256), ([1], 256), (float("inf"), 256)):
        assert units(chat, {"options": {"num_predict": told}}) == asked
    assert units(draw, {"n": 3, "steps": 4}) == 12 and units(embed, {"input": ["a", "b"]}) == 2
    assert prompt({"messages": [{"role": "user", "content": "é"}]}).endswith('"é"}]]') and prompt({"prompt": ["a"]}) == ""
