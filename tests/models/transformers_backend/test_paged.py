"""Every causal model of transformers that our KV cache takes: the library's greedy texts, alone, in company, from a prefix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_causal
import torch
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.transformers_backend import loading
from mmgen.models.transformers_backend.backend import unpaged, upstream_config
from mmgen.models.transformers_backend.paged import PagedUpstream
from mmgen.runners.generation import GenerationResult, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

WRITTEN = 24
GREEDY = Sampling(temperature=0)
OFTEN_USED = ("qwen3_moe", "gpt_oss", "olmo2")


def prompt(length: int, seed: int) -> list[int]:
    return torch.randint(3, tiny_causal.VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


LONG, SHORT = prompt(37, 1), prompt(5, 2)
BRANCHED = LONG[:32] + prompt(4, 3)


def run(lm: PagedUpstream, *rounds: Sequence[list[int]]) -> list[list[GenerationResult]]:
    """The requests of each round at once, in chunks of 16 tokens, over one KV cache."""
    vocabulary = Vocabulary(lambda ids: "x" * len(ids), frozenset())
    runner = TextRunner(lm, vocabulary, memory=40 * 16 * lm.kv_bytes_per_token, budget=16)
    with Engine({"text": runner}) as engine:
        found = []
        for prompts in rounds:
            jobs = [Job("text", text_request(one, WRITTEN, GREEDY), seed=3) for one in prompts]
            found.append([handle.result(60) for handle in [engine.submit(job) for job in jobs]])
    return found


def greedy(model: Any, start: list[int]) -> tuple[int, ...]:
    """The library's own `generate`."""
    ids = torch.tensor([start])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=WRITTEN, do_sample=False, eos_token_id=None)
    return tuple(out[0, len(start) :].tolist())


@torch.inference_mode()
def is_greedy(model: Any, start: list[int], written: Sequence[int]) -> bool:
    """Whether each token is the likeliest one behind those before it, by one plain forward pass of the library."""
    logits = model(input_ids=torch.tensor([[*start, *written]]), use_cache=False).logits[0, len(start) - 1 : -1]
    return logits.argmax(-1).tolist() == list(written)


def loaded(model: Any, folder: Path) -> PagedUpstream:
    model.save_pretrained(folder)
    config = upstream_config(read_json(folder / "config.json"), "config.json")
    assert unpaged(config) == ""
    return loading.paged(folder, config, "cpu", torch.float32)


@pytest.mark.parametrize("kind", OFTEN_USED)
def test_the_librarys_texts(kind: str, tmp_path: Path) -> None:
    theirs = tiny_causal.build(kind)
    ours = loaded(theirs, tmp_path)
    ours.pack()
    (alone,), together, (again,) = run(ours, [LONG], [BRANCHED, SHORT, LONG[3:]], [LONG])
    assert alone.texts[0].ids == again.texts[0].ids == greedy(theirs, LONG)
    assert again.cached_tokens >= 32 and together[0].cached_tokens >= 32
    for start, one in zip((BRANCHED, SHORT, LONG[3:]), together, strict=True):
        assert is_greedy(theirs, start, one.texts[0].ids)
