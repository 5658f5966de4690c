"""Mixes of tiny real work for every runner, through one engine: what they give must not depend on their company."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgen.config import RuntimeConfig
from mmgen.engine.event_merge import EventMerge
from mmgen.engine.job import Job, Priority, Request
from mmgen.runtime import Runtime

PROMPTS = ["the", "the way the", "hello the at", "a b c the the the the at the end of the"]
TEXTS = ["The lamp was lit in 1823.", "Tea.", "Bees dance to tell where flowers are."]


@dataclass(frozen=True)
class Ask:
    """One request, as a caller would make it."""

    kind: str  # text, draw, embed, read, write
    seed: int
    user: str = "ann"
    priority: Priority = "normal"


KINDS = (
    "sample",
    "greedy",
    "beam",
    "contrastive",
    "lookup",
    "draft",
    "euler",
    "dpm++2m",
    "ddpm",
    "whole",
    "embed",
    "read",
    "write",
)
TEXTS_OF = ("sample", "greedy", "beam", "contrastive", "lookup", "draft")
"""Strategies of the text runner, solvers of the denoising one, and the other runners."""


def runtime(home: Path, memory: int | None = None, **models: Path) -> Runtime:
    return Runtime(RuntimeConfig(home=home, device="cpu", memory_limit=memory, **{k: str(v) for k, v in models.items()}))


class Mix:
    """All models of a runtime, and how each kind of request is made."""

    def __init__(self, rt: Runtime, draft: Path, whole: Path) -> None:
        self.rt = rt
        self.text, self.drafted = rt.text(), rt.text(draft=str(draft))
        self.drawing, self.whole = rt.denoiser(), rt.denoiser(str(whole))
        self.encoder, self.reader = rt.encoder(), rt.reader()

    def job(self, ask: Ask) -> Job:
        """Of all that is asked, the part that is one job."""
        request = Request.new(ask.user, ask.priority)
        return getattr(self, f"_{self._family(ask.kind)}")(ask, random.Random(ask.seed), request)  # type: ignore[no-any-return]

    def _family(self, kind: str) -> str:
        return "text" if kind in TEXTS_OF else kind if kind in ("whole", "embed", "read", "write") else "draw"

    def _text(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        from text_requests import text_request

        from mmgen.text_params import Sampling

        client = self.drafted if ask.kind == "draft" else self.text
        how: dict[str, Any] = {"strategy": ask.kind} if ask.kind in ("beam", "contrastive") else {}
        how |= {"lookup": 4} if ask.kind == "lookup" else {"draft": 3} if ask.kind == "draft" else {}
        sampling = Sampling(temperature=0.0 if ask.kind == "greedy" else 1.0)
        if ask.kind in ("beam", "contrastive"):
            sampling = Sampling()
        prompt = client.model.encode(rng.choice(PROMPTS) * rng.randint(1, 3))
        long = 120 if ask.kind in ("sample", "greedy") else 24
        return Job(client.runner, text_request(prompt, rng.randint(2, long), sampling, **how), request, seed=ask.seed)

    def _draw(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        from mmgen.clients.denoiser import DenoiserClient
        from mmgen.image_params import ImageParams

        client = self.drawing
        assert isinstance(client, DenoiserClient)
        side = rng.choice([16, 16, 16, 24])
        params = client.resolved(
            ImageParams(
                prompt="a cat",
                seed=ask.seed,
                solver=ask.kind,
                steps=rng.randint(2, 6),
                guidance=rng.choice([1.0, 4.0]),
                width=side,
                height=side,
            )
        )
        adapters = {params.loras: client._adapters(params)}
        conditions = client._conditions([params], adapters)[params.loras]
        payload = client._payload(params, conditions, adapters[params.loras], [], (None, None), 0)
        return Job(client.denoise, payload, request, seed=ask.seed)

    def _whole(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        from mmgen.clients.diffusers_pipeline import DiffusersClient
        from mmgen.image_params import ImageParams
        from mmgen.runners.diffusers_pipeline import PipelineRequest

        client = self.whole
        assert isinstance(client, DiffusersClient)
        params = client.resolved(ImageParams(prompt="a cat", seed=ask.seed, steps=2, width=16, height=16))
        return Job(client.runner, PipelineRequest(client._arguments(params)), request, seed=ask.seed)

    def _embed(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        rows = self.encoder.model.tokenize(rng.choices(TEXTS, k=rng.randint(1, 9)))
        return Job(self.encoder.runner, rows, request, seed=ask.seed)

    def _read(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        pairs = self.reader.model.pairs("what?", rng.choices(TEXTS, k=rng.randint(1, 4)))
        return Job(f"read:{self.reader.reference}", pairs, request, seed=ask.seed)

    def _write(self, ask: Ask, rng: random.Random, request: Request) -> Job:
        (pair,) = self.reader.model.pairs("what?", [rng.choice(TEXTS)])
        return Job(f"write:{self.reader.reference}", pair, request, seed=ask.seed)

    def together(self, asks: Sequence[Ask]) -> list[Any]:
        following, results = EventMerge(), [None] * len(asks)
        jobs = [self.job(ask) for ask in asks]
        handles = [self.rt.engine.submit(job) for job in jobs]
        for number, handle in enumerate(handles):
            following.add(number, handle)
        for number, handle in enumerate(handles):
            results[number] = handle.result(120)
        return results

    def alone(self, ask: Ask) -> Any:
        return self.rt.engine.submit(self.job(ask)).result(120)


def same(kind: str, one: Any, other: Any) -> bool:
    """To the bit: tokens, vectors, spans with their log-probabilities, latents and pixels."""
    if kind in TEXTS_OF:
        return [text.ids for text in one.texts] == [text.ids for text in other.texts]
    if kind == "embed":
        return np.array_equal(np.stack(one), np.stack(other))
    if kind in ("read", "write"):
        return bool(one == other)
    first, second = (image[0] if isinstance(image, list) else image for image in (one, other))
    return torch.equal(first, second)
