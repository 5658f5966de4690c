"""Whether a request needs a tool, and which: two rules where the words leave no doubt, otherwise a linear classifier.

The classifier reads the request's sentence vector (`mmgen train router`); tools of others, which it was not trained on, are
found by the similarity of their descriptions. It reads the user's own words alone: no document or web page has a say.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mmgen.config import assets_dir
from mmgen.engine.job import Request
from mmgen.pipelines.agent import word_arithmetic

if TYPE_CHECKING:
    from mmgen.models.encoders.linear_classifier import LinearClassifier
    from mmgen.runtime import Runtime

NONE = "none"
URL = re.compile(
    r"\bhttps?://[^\s<>\"']+|\b(?:www\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:com|org|net|edu|gov|io|info|dev)(?:/[^\s<>\"']*)?",
    re.I,
)
NEAR = 0.42
"""Cosine of a request and a tool's description from which on that tool is taken; of unrelated ones it is below 0.3."""
SURE = 0.8
"""Probability from which on a tool stands in for one that is switched off."""
LONGEST = 2000  # characters of a request that are read


@dataclass(frozen=True)
class Route:
    """The value of a "route" event."""

    tool: str | None  # None: the language model answers by itself
    confidence: float  # 0 to 1
    why: str  # "rule", "classifier", "description", "model", "approved" or "asked for"


class Router:
    """For one runtime; loads the sentence encoder with the first request that no rule decides."""

    def __init__(self, rt: Runtime) -> None:
        self.rt = rt

    @cached_property
    def classifier(self) -> LinearClassifier:
        from mmgen.models.encoders.linear_classifier import LinearClassifier

        return LinearClassifier.load(assets_dir() / "router" / "router.safetensors")

    def route(
        self, said: str, offered: Collection[str], others: Mapping[str, str] = {}, request: Request | None = None
    ) -> Route:
        """The tool for a request.

        Args:
            said: the user's words.
            offered: which of docs, images, draw, edit, calc and fetch there are.
            others: further tools, with what they say of themselves.
        """
        said = said[:LONGEST]
        if named := [name for name in others if len(name) > 2 and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said)]:
            return Route(max(named, key=len), 1.0, "rule")
        if "fetch" in offered and URL.search(said):
            return Route("fetch", 1.0, "rule")
        if "calc" in offered and word_arithmetic.expression(said) is not None:
            return Route("calc", 1.0, "rule")
        if not offered and not others:
            return Route(None, 1.0, "rule")
        return self._learned(said, offered, others, request)

    def _learned(self, said: str, offered: Collection[str], others: Mapping[str, str], request: Request | None) -> Route:
        encoder = self.rt.encoder(self.classifier.encoder)
        texts = [said, *(f"{name.replace('_', ' ')}: {told[:300]}" for name, told in others.items())]
        vector, *descriptions = encoder.embed_text(texts, request)
        near = {name: float(vector @ one) for name, one in zip(others, descriptions, strict=True)}
        if near and (best := max(near, key=near.__getitem__)) and near[best] >= NEAR:
            return Route(best, min(1.0, near[best]), "description")
        found = self.classifier.probabilities(vector, self.classifier.classes)
        best = max(found, key=found.__getitem__)
        if best not in offered and best != NONE:  # it wants a tool that is switched off
            found = self.classifier.probabilities(vector, [NONE, *(one for one in self.classifier.classes if one in offered)])
            best = max(found, key=found.__getitem__)
            if found[best] < SURE:
                return Route(None, 1 - found[best], "classifier")
        return Route(None if best == NONE else best, found[best], "classifier")
