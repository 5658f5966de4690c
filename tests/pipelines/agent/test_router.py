from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmgen.models.encoders.linear_classifier import LinearClassifier
from mmgen.pipelines.agent.router import Router

WORDS = ("hello", "document", "paint", "weather")


def embed(texts: Sequence[str], request: Any = None) -> np.ndarray:
    """A dimension a word."""
    return np.array([[float(word in text) for word in WORDS] for text in texts], np.float32)


@pytest.fixture
def router() -> Router:
    made = Router(SimpleNamespace(encoder=lambda reference: SimpleNamespace(embed_text=embed)))  # type: ignore[arg-type]
    weight = 6 * np.eye(3, 4, dtype=np.float32)
    made.classifier = LinearClassifier(("none", "docs", "draw"), weight, np.zeros(3, np.float32), "x")  # type: ignore[misc]
    return made


def test_rules_need_no_model() -> None:
    router = Router(None)  # type: ignore[arg-type]
    assert router.route("What is 3 + 4?", ["calc", "docs"]).tool == "calc"
    assert router.route("see https://example.org/a", ["fetch"]).tool == "fetch"
    assert router.route("use get_weather for Rome", ["docs"], {"get_weather": "..."}).tool == "get_weather"
    assert router.route("hello", []).tool is None


def test_the_classifier_decides_among_what_is_there(router: Router) -> None:
    assert router.route("a document", ["docs", "draw"]).tool == "docs"
    assert router.route("hello", ["docs", "draw"]).tool is None
    assert router.route("paint", ["docs", "draw"]).confidence > 0.9
    assert router.route("paint", ["docs"]).tool is None  # drawing is switched off, and documents are no stand-in
    assert router.route("What is 3 + 4?", ["docs"]).tool != "calc"


def test_tools_of_others_by_their_description(router: Router) -> None:
    others = {"forecast": "tells the weather of a place"}
    assert router.route("weather in Oslo", ["docs"], others).tool == "forecast"
    assert router.route("a document", ["docs"], others).tool == "docs"
