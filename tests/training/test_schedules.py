"""Rates at their corners, and what the optimizer leaves undecayed."""

import math

import pytest
import tiny_corpus
import torch

from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.training import throughput
from mmgen.training.optimizers import adamw
from mmgen.training.schedules import LearningRateSchedule


def test_cosine() -> None:
    schedule = LearningRateSchedule(peak=1.0, floor=0.1, warmup=0.1)
    assert schedule.rate(0, 100) == 0.1 and schedule.rate(9, 100) == 1.0 and schedule.rate(10, 100) == 1.0
    assert math.isclose(schedule.rate(55, 100), 0.55) and schedule.rate(99, 100) < 0.101


def test_warm_up_plateau_fall() -> None:
    schedule = LearningRateSchedule(kind="wsd", peak=2.0, floor=0.5, warmup=0.1, decay=0.2)
    assert schedule.rate(4, 100) == 1.0 and schedule.rate(10, 100) == schedule.rate(79, 100) == 2.0
    assert math.isclose(schedule.rate(90, 100), 1.5) and 1 < schedule.rate(99, 100) < 1.1


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    model = LanguageModel(transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50, "out_bias": True}))
    decay, rest = adamw(model, weight_decay=0.3, betas=(0.9, 0.95)).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    assert {names[id(p)].split(".", 3)[-1] for p in decay["params"]} == {
        "attention.qkv.weight", "attention.out.weight", "up.weight", "down.weight",
    }  # fmt: skip
    assert len(decay["params"]) + len(rest["params"]) == len(names)


def test_floating_point_operations_of_a_token() -> None:
    config = transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 50})
    model = LanguageModel(config)
    matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)  # the head is the embedding
    assert throughput.flops_per_token(config, 32) == 6 * matrices + 12 * 2 * 32 * 32


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_peak_is_that_of_a_machine(precision: str) -> None:
    assert 1e8 < throughput.peak(torch.device("cpu"), precision, seconds=0.01) < 1e15
