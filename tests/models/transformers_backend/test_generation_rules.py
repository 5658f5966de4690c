"""generation_config.json's rules: the texts are those of the library's generate under the same ones."""

from typing import Any

import pytest
import tiny_own_cache
import torch
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.transformers_backend.generation_rules import rules_of
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.runners.generation import Vocabulary
from mmgen.runners.own_cache_text import OwnCacheRunner

SOURCE = [5, 9, 13, 5, 9, 40, 41, 42]
COUNT = 16


@pytest.fixture(scope="module")
def lm() -> OwnCacheLM:
    return OwnCacheLM(tiny_own_cache.seq2seq("bart"))


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize(
    "rules",
    [
        {"forced_bos_token_id": 17, "forced_eos_token_id": 2, "no_repeat_ngram_size": 2},
        {"suppress_tokens": [7, 8, 9, 60], "begin_suppress_tokens": [11, 12], "min_length": 9, "bad_words_ids": [[33], [4, 5]]},
        {"encoder_no_repeat_ngram_size": 2, "no_repeat_ngram_size": 3, "exponential_decay_length_penalty": (4, 1.3)},
    ],
)
def test_texts_are_those_of_the_library(
    lm: OwnCacheLM, monkeypatch: pytest.MonkeyPatch, rules: dict[str, Any], beams: int
) -> None:
    for name, value in {**rules, "eos_token_id": 2}.items():
        monkeypatch.setattr(lm.model.generation_config, name, value)
    out = lm.model.generate(torch.tensor([SOURCE]), max_new_tokens=COUNT, do_sample=False, num_beams=beams)[0, 1:].tolist()
    asked = text_request(
        [2],
        COUNT,
        strategy="greedy" if beams == 1 else "beam",
        beams=beams,
        source=SOURCE,
        rules=rules_of(rules, 1, COUNT, {2}, SOURCE),
    )
    with Engine({"text": OwnCacheRunner(lm, Vocabulary(str, frozenset({2})), memory=10**9)}) as engine:
        found = engine.submit(Job("text", asked, seed=0)).result(60).texts[0]
    assert list(found.ids) == out[: out.index(2) + 1] if 2 in out else out


def test_none_where_there_are_none() -> None:
    assert rules_of({}, 1, COUNT, {2}, SOURCE) is None


def test_a_first_token_can_be_forced() -> None:
    rules = rules_of({}, 1, COUNT, (), SOURCE, first=33)
    assert rules is not None
    scores = torch.randn(tiny_own_cache.VOCABULARY)
    assert int(rules([2], scores).argmax()) == 33 and rules([2], scores).isneginf().sum() == len(scores) - 1
    assert torch.equal(rules([2, 33], scores), scores)
