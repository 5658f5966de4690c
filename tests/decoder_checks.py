"""What every family of decoders must pass: transformers' logits, and its greedy tokens through the engine, batched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checkpoints
import torch
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.runners.generation import Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

WRITTEN = 24


def prompts() -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, checkpoints.VOCABULARY, (n,), generator=generator).tolist() for n in (37, 5, 20)]


@torch.inference_mode()
def written(lm: LanguageModel, texts: Sequence[Sequence[int]], budget: int = 24) -> list[list[int]]:
    """Greedy tokens behind each text, all at once."""
    vocabulary = Vocabulary(lambda ids: "?" * len(ids), frozenset())
    one = TextRunner(lm, vocabulary, memory=0)
    runner = TextRunner(lm, vocabulary, memory=100 * one.places.block_bytes, budget=budget)
    with Engine({"text": runner}) as engine:
        requests = [text_request(text, WRITTEN, Sampling(temperature=0)) for text in texts]
        handles = [engine.submit(Job("text", request, seed=0)) for request in requests]
        return [list(handle.result(60).texts[0].ids) for handle in handles]


@torch.inference_mode()
def check(maker: checkpoints.Maker, folder: Path, fused: bool = False) -> LanguageModel:
    """Logits within 1e-4, 24 greedy tokens behind three texts; `fused`: whether its blocks are to run as one call."""
    theirs = checkpoints.saved(maker, folder)
    ours = language_model.load(folder)
    ids = torch.tensor([prompts()[0], prompts()[0][::-1]])
    assert_close(theirs(input_ids=ids).logits, ours(ids))
    expected = [upstream(theirs, text) for text in prompts()]
    assert written(ours, prompts()) == expected
    ours.pack()
    assert (ours.transformer.fused is not None) == fused
    assert written(ours, prompts(), budget=200) == expected
    assert len({token for text in expected for token in text}) > 2, "it says always the same"
    return ours


def assert_close(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    assert theirs.std() > 0.01
    assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-4


def upstream(theirs: Any, text: Sequence[int]) -> list[int]:
    given = torch.tensor([list(text)])
    settings = {"do_sample": False, "pad_token_id": 0, "eos_token_id": None, "max_new_tokens": WRITTEN}
    out = theirs.generate(given, attention_mask=torch.ones_like(given), **settings)
    return [int(token) for token in out[0, len(text) :]]
