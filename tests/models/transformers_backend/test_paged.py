"""Every causal model of transformers that our KV cache takes: the library's greedy texts, alone, in company, from a prefix."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_causal
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from text_requests import text_request
from transformers import CONFIG_MAPPING

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.lm.families import FAMILIES
from mmgen.models.transformers_backend import loading
from mmgen.models.transformers_backend.backend import unpaged
from mmgen.models.transformers_backend.paged import PagedUpstream, UnpagedError
from mmgen.models.transformers_backend.self_check import checked
from mmgen.runners.generation import GenerationResult, TextRequest, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

ROOT = Path(__file__).parents[3]
WRITTEN = 24
GREEDY = Sampling(temperature=0)
OFTEN_USED = (
    "apertus", "biogpt", "cohere2", "deepseek_v2", "deepseek_v3", "dots1", "ernie4_5_moe", "gemma3", "gemma3n_text",
    "gemma4", "gemma4_text", "glm4_moe", "gpt_bigcode", "gpt_oss", "hunyuan_v1_moe", "llama4_text", "minimax_m2",
    "modernbert-decoder", "nemotron", "persimmon", "phimoe", "qwen2_moe",
)  # fmt: skip
"""Those of most checkpoints that people run and that run by no code of ours; the others are tried by `make check-slow`."""
OTHERS = (
    "afmoe", "arcee", "aria_text", "axk1", "beam", "bert", "bert-generation", "bitnet", "cohere", "cohere2_moe",
    "cohere_compass_text", "ctrl", "cwm", "dbrx", "diffllama", "electra", "emu3", "ernie", "ernie4_5", "exaone4",
    "exaone_moe", "flex_olmo", "flint", "fuyu", "gemma", "gemma2", "gemma3_text", "gemma4_unified_text", "glm", "glm4",
    "glm4_moe_lite", "got_ocr2", "gpt-sw3", "gpt2", "gpt_neox", "granite", "granite_swa", "granitemoe",
    "granitemoe_swa", "granitemoeshared", "helium", "hrm_text", "hunyuan_v1_dense", "hy_v3", "hyperclovax", "internlm3",
    "iquestcoder", "jais2", "jetmoe", "kolibri1", "laguna", "llama", "llama4", "longcat_flash", "mellum",
    "mimo_v2_flash", "minicpm3", "minimax_m3_vl_text", "ministral", "ministral3", "mistral", "mixtral", "mllama",
    "moss_transcribe_diarize", "nanochat", "olmo", "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phi4_multimodal",
    "qwen2", "qwen3", "qwen3_moe", "roc_bert", "seed_oss", "smollm3", "solar_open", "stablelm", "starcoder2",
    "vaultgemma", "youtu",
)  # fmt: skip
"""All others of transformers."""
MASKS, DIFFER, FORGETS = "fail on our KV cache", "differ by .* from the library's", "cache forgets tokens"
NOT_PAGED = {
    **dict.fromkeys(("doge", "gemma4_unified", "git"), MASKS),  # masks that depend on what was read
    **dict.fromkeys(("camembert", "data2vec-text", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"), DIFFER),
    "xmod": DIFFER,  # places are counted from 2 on, as in all of RoBERTa's kin
    "moshi": FORGETS,
}
"""Whose configurations look as if they could, and what shows at loading that they cannot: they keep a cache of their own."""
NOT_TRIED = {
    "blt": "a model of bytes in patches, whose parts' sizes must fit each other",
    "gemma3n": "its image tower is timm's, which is no dependency; gemma3n_text is tried",
    "gemma4_assistant": "guesses for another model, and writes nothing alone",
    "gemma4_unified_assistant": "guesses for another model, and writes nothing alone",
}
"""Of those whose configurations look as if they could."""


def prompt(length: int, seed: int) -> list[int]:
    return torch.randint(3, tiny_causal.VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


VOCABULARY = Vocabulary(lambda ids: "x" * len(ids), frozenset())
LONG, SHORT = prompt(37, 1), prompt(5, 2)


def run(lm: PagedUpstream, *rounds: Sequence[list[int]]) -> list[list[GenerationResult]]:
    """The requests of each round at once, in chunks of 16 tokens, over one KV cache."""
    runner = TextRunner(lm, VOCABULARY, memory=40 * 16 * lm.kv_bytes_per_token, budget=16)
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


def loaded(kind: str, folder: Path) -> tuple[Any, PagedUpstream]:
    """A tiny model in the library, and here from the folder that the library wrote."""
    theirs, config = tiny_causal.build(kind), tiny_causal.config(kind)
    theirs.save_pretrained(folder)
    config.save_pretrained(folder)  # of a model of images and texts the whole, not its text part
    return theirs, loading.paged(folder, config, "cpu", torch.float32)


KINDS = [*OFTEN_USED, *(pytest.param(kind, marks=pytest.mark.slow) for kind in OTHERS)]


@pytest.mark.parametrize("kind", KINDS)
def test_the_librarys_texts(kind: str, tmp_path: Path) -> None:
    """Read in chunks beside another, and from what is known of the prompt: the same text, which is the library's."""
    theirs, ours = loaded(kind, tmp_path)
    ours.pack()
    (long, short), (again,) = run(ours, [LONG, SHORT], [LONG])
    assert long.texts[0].ids == again.texts[0].ids == greedy(theirs, LONG)
    assert is_greedy(theirs, SHORT, short.texts[0].ids)
    assert again.cached_tokens >= 32


def test_seeds_hold_in_company_and_after_preemption(tmp_path: Path) -> None:
    """Sinks, windows and experts: drawn texts are the same alone and where blocks run short."""
    _, lm = loaded("gpt_oss", tmp_path)
    requests = [text_request(prompt(5 + n, n), 60, Sampling(temperature=1.0), lookup=4) for n in range(4)]

    def drawn(blocks: int, *some: TextRequest) -> tuple[list[tuple[int, ...]], int]:
        runner = TextRunner(lm, VOCABULARY, memory=blocks * 16 * lm.kv_bytes_per_token, budget=16)
        with Engine({"text": runner}) as engine:
            handles = [engine.submit(Job("text", one, seed=len(one.prompt))) for one in some]
            return [handle.result(60).texts[0].ids for handle in handles], runner.places.preempted

    alone = [drawn(40, one)[0][0] for one in requests]
    together, preempted = drawn(9, *requests)
    assert together == alone and preempted > 0


@pytest.mark.parametrize("kind", ["doge", "roberta", "moshi", *(pytest.param(k, marks=pytest.mark.slow) for k in NOT_PAGED)])
def test_what_needs_a_cache_of_its_own_shows_it(kind: str) -> None:
    with pytest.raises(UnpagedError, match=NOT_PAGED[kind]):
        checked(tiny_causal.build(kind), tiny_causal.VOCABULARY, 256)


@pytest.mark.slow
def test_every_architecture_is_accounted_for() -> None:
    """All whose configurations look as if they could: a new release of transformers brings new ones."""
    could = {kind for kind in tiny_causal.TYPES if kind not in NOT_TRIED and not _unpaged(kind)}
    assert could == {*OFTEN_USED, *OTHERS, *NOT_PAGED}


def test_the_page_of_architectures_claims_what_is_tried() -> None:
    page = (ROOT / "docs" / "architectures.md").read_text(encoding="utf-8")
    native, shared, own = (set(re.findall("`([^`]+)`", part)) for part in re.split("^## ", page, flags=re.M)[1:4])
    tried = (ROOT / "tests" / "runners" / "test_own_cache_text.py").read_text(encoding="utf-8").partition("\nSOUND")[0]
    assert native <= set(FAMILIES) <= native | shared | own, "a family of ours is native"
    assert shared <= {*OFTEN_USED, *OTHERS} <= native | shared
    assert {kind for kind in own if f'"{kind}"' not in tried} == set()


def _unpaged(kind: str) -> str:
    """By a small configuration, or by the default where none can be made that is small."""
    try:
        return unpaged(tiny_causal.config(kind))
    except (ValueError, StrictDataclassClassValidationError):
        return unpaged(CONFIG_MAPPING[kind]())
