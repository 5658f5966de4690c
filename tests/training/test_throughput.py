"""Operations a token against the usual estimate of six per parameter, and the peak of this device."""

import pytest
import tiny_corpus
import torch

from mmgen.models import transformer_config
from mmgen.models.lm.language_model import LanguageModel
from mmgen.training import throughput


def test_six_operations_a_parameter_and_more_with_length() -> None:
    config = transformer_config.load({**tiny_corpus.MODEL, "vocab_size": 300})
    lm = LanguageModel(config)
    matrices = sum(p.numel() for p in lm.parameters() if p.dim() > 1)
    short, long = (throughput.flops_per_token(config, length) for length in (0, 64))
    assert short == pytest.approx(6 * matrices, rel=0.4) and long > short


def test_the_peak_is_measured() -> None:
    assert throughput.peak(torch.device("cpu"), "fp32", seconds=0.01) > 1e8
