"""Parts of a model add up to it, packed or not."""

from pathlib import Path

import pytest
import tiny_lm
import torch

from mmgen.models.lm.interpretation.structure import forward_flops, parts
from mmgen.models.lm.text_model import TextModel


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


def test_parts_add_up(folder: Path) -> None:
    lm = TextModel.load(folder).lm
    found = {part.name: part for part in parts(lm)}
    assert sum(part.parameters for part in found.values()) == sum(weight.numel() for weight in lm.parameters())
    queries = found["transformer.blocks.*.attention.qkv"]
    assert queries.shape == (32 + 2 * 16, 32) and queries.count == 2 and queries.bytes == 4 * queries.parameters
    lm.pack()
    packed = {part.name: part.parameters for part in parts(lm) if part.parameters}
    assert packed == {name: part.parameters for name, part in found.items()}, "laid out anew, they are as many"


def test_a_head_that_is_tied_counts_once(folder: Path) -> None:
    lm = TextModel.load(folder).lm
    lm.head.weight = lm.transformer.embed.words.weight
    assert "head" not in {part.name for part in parts(lm)}


def test_flops_are_those_of_the_products(folder: Path) -> None:
    """A token's products counted by hand, and what it attends to."""
    lm = TextModel.load(folder).lm
    weights = sum(one.weight.numel() for one in lm.modules() if isinstance(one, torch.nn.Linear))
    assert forward_flops(lm.config, 10) == 2 * weights + 2 * 2 * 32 * 10 * lm.config.layers
