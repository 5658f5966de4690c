"""A model of every kind with a few requests, answered alone or at once on any device: what the check compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime

TEXTS = (
    "The lamp was first lit in 1823.",
    "Who built the tower, and of what?",
    "Granite blocks were carried over the sea at low tide, one after another, for eleven summers, until the tower stood.",
    "42",
    "Its keeper wrote down each ship that passed, and the weather of each night, in a book that is lost.",
    "a red apple",
    "The light could be seen from thirty kilometres in clear weather, and the bell was heard in fog.",
    "Nobody has lived there since the lamp became electric.",
)
PROMPTS = ("a red apple", "a smiling cat", "a blue car", "a tree", "two green stars", "a house", "a fish", "a yellow flower")
Ask = Callable[[Runtime, int], Any]


@dataclass(frozen=True)
class Subject:
    """`ask(runtime, number)`: the answer to request `number`, an array or a list of tokens.

    `precise`: the largest difference from the CPU in fp32 that another order of summation explains; None: tokens, which are
    equal or not.
    """

    name: str
    ask: Ask
    precise: float | None

    def alone(self, rt: Runtime, count: int) -> list[Any]:
        return [self.ask(rt, number) for number in range(count)]

    def at_once(self, rt: Runtime, count: int) -> list[Any]:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(lambda number: self.ask(rt, number), range(count)))


def same(one: Sequence[Any], other: Sequence[Any]) -> bool:
    """To the bit."""
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


def difference(one: Sequence[Any], other: Sequence[Any]) -> float:
    """The largest of two lists of arrays."""
    return max(
        float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max()) for a, b in zip(one, other, strict=True)
    )


def alike(one: Sequence[Sequence[int]], other: Sequence[Sequence[int]]) -> float:
    """Of lists of tokens: the share of places, up to the first difference in each list, that are equal."""
    ahead, total = 0, 0
    for a, b in zip(one, other, strict=True):
        first = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
        ahead, total = ahead + first, total + max(len(a), len(b))
    return ahead / max(total, 1)


def subjects(precision: str, folders: Path, steps: int) -> list[Subject]:
    """`precision`: "fp32" or "bf16", for the models that can be asked for in either."""
    mark = f"#{precision}"
    return [
        Subject("sentence encoder", lambda rt, n: rt.encoder(f"embedded:minilm{mark}").embed_text([TEXTS[n]])[0], 1e-5),
        Subject("reader", read, 1e-3),
        Subject("image encoder", lambda rt, n: rt.seeing().embed_images(_noise(n)[None])[0], 1e-4),
        Subject("denoiser, decoder", lambda rt, n: draw(rt, n, f"embedded:emoji{mark}", steps), 2 / 255),
        Subject("language model", lambda rt, n: write(rt, n, f"embedded:books{mark}"), None),
        *(Subject(name, lambda rt, n, name=name: write(rt, n, f"{folders / name}{mark}"), None) for name in made(folders)),
    ]


def made(folders: Path) -> list[str]:
    """Random models of transformers: one whose attention runs in our cache, one that keeps a cache of its own."""
    return sorted(one.name for one in folders.iterdir() if one.is_dir())


def make(folders: Path) -> None:
    """Writes them, with the tokenizer of embedded:books."""
    from shutil import copy

    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, MambaConfig, MambaForCausalLM

    from mmgen import hub

    books = hub.resolve("embedded:books", kind="text")
    torch.manual_seed(0)
    shape = {"vocab_size": 8192, "hidden_size": 128, "num_hidden_layers": 2}
    models = {
        "gpt-neox": GPTNeoXForCausalLM(GPTNeoXConfig(**shape, num_attention_heads=4, intermediate_size=256)),
        "mamba": MambaForCausalLM(MambaConfig(**shape, state_size=8)),
    }
    for name, model in models.items():
        model.save_pretrained(folders / name)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            copy(books / file, folders / name / file)


@contextmanager
def runtime(device: str, home: Path) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(device=device, home=home)) as rt:
        yield rt


def _noise(number: int) -> torch.Tensor:
    """An image, (3, 64, 64) in 0 to 1."""
    return torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(number))


def read(rt: Runtime, number: int) -> list[float]:
    spans = rt.reader().read("When was the lamp lit?", [TEXTS[number], TEXTS[0]])
    return [value for one in spans for value in (one[0].start, one[0].end, one[0].log_probability)]


def draw(rt: Runtime, number: int, model: str, steps: int) -> np.ndarray:
    import mmgen

    made = mmgen.pipeline("txt2img", runtime=rt, model=model)(PROMPTS[number], steps=steps, guidance=5.0, seed=number)
    return np.asarray(made.images[0], np.float32) / 255


def write(rt: Runtime, number: int, model: str) -> list[int]:
    from mmgen.engine.job import Request
    from mmgen.runners.generation import TextRequest
    from mmgen.text_params import TextParams

    client = rt.text(model)
    handle = client.submit(
        TextRequest(client.model.encode(TEXTS[number]), TextParams(strategy="greedy", max_tokens=24)), Request.new(), number
    )
    return list(handle.result().texts[0].ids)
