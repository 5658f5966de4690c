"""Tensors that leave and come back: what computes with them stays the same object and says the same."""

from pathlib import Path

import pytest
import torch
from torch import nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.offload import LoadedModel, modules, tensors
from mmgen.models.cpu.onednn import PACKS, pack


class Net(nn.Module):
    """Tied weights, a buffer, and layers that `pack` lays out anew."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.conv = nn.Linear(8, 8), nn.Conv2d(2, 3, 3, padding=1)
        self.second = nn.Linear(8, 8)
        self.register_buffer("offset", torch.randn(8))
        self.norm = nn.LayerNorm(8)
        self.also = self.norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.second(self.first(x)) + self.offset)  # (B, 2, 8, 8)
        return self.conv(y)


class Counted:
    def __init__(self) -> None:
        self.moves: list[str] = []

    def away(self) -> None:
        self.moves.append("away")

    def back(self) -> None:
        self.moves.append("back")


def load(packed: bool) -> Net:
    net = Net().requires_grad_(False).eval()
    if packed:
        pack(net)
    return net


@pytest.mark.parametrize("packed", [False, True])
@torch.inference_mode()
def test_gone_and_back_it_says_the_same(packed: bool) -> None:
    loaded = LoadedModel(lambda: load(packed), "cpu")
    loaded.beside.append(beside := Counted())
    x = torch.randn(1, 2, 8, 8)
    before, kept, nbytes = loaded.model(x), list(loaded.model.modules()), loaded.nbytes
    assert nbytes >= 4 * (2 * (64 + 8) + 8 + 16 + 54 + 3) and not loaded.host
    for _ in range(2):
        loaded.drop()
        assert loaded.nbytes == 0 and sum(one.numel() for module in kept for one in tensors(module)) == 0
        loaded.bring()
        assert torch.equal(loaded.model(x), before) and list(loaded.model.modules()) == kept
    assert beside.moves == ["away", "back"] * 2
    assert PACKS or not packed or loaded.nbytes == nbytes


@torch.inference_mode()
def test_at_rest_nothing_is_read_again() -> None:
    """A device that is none stands for a GPU, whose host would be the CPU."""
    reads = []

    def read() -> Net:
        reads.append(True)
        return load(False)

    loaded = LoadedModel(read, "cpu")
    x, model = torch.randn(1, 2, 8, 8), loaded.model
    before = model(x)
    loaded.rest()
    loaded.bring()
    assert torch.equal(model(x), before) and len(reads) == 1
    loaded.rest()
    loaded.drop()
    loaded.bring()
    assert torch.equal(model(x), before) and len(reads) == 2


def test_what_was_added_later_stays() -> None:
    """As a LoRA adapter is put around a layer."""
    loaded = LoadedModel(lambda: load(False), "cpu")
    loaded.model.first = nn.Sequential(loaded.model.first, nn.Linear(8, 8))
    x = torch.randn(1, 2, 8, 8)
    before = loaded.model(x)
    loaded.drop()
    loaded.bring()
    assert torch.equal(loaded.model(x), before)


def test_files_that_changed_meanwhile() -> None:
    nets = iter([load(False), nn.Linear(2, 2)])
    loaded = LoadedModel(lambda: next(nets), "cpu")
    loaded.drop()
    with pytest.raises(BadWeights, match="the model's files changed since it was first loaded; make a new Runtime"):
        loaded.bring()


def test_modules_are_found_in_our_own_objects(tiny_encoder: Path) -> None:
    from mmgen.models.encoders.sentence_encoder import SentenceEncoder

    encoder = SentenceEncoder.load(tiny_encoder)
    found = list(modules([{"one": encoder}, encoder]))
    assert found == list(encoder.transformer.modules())
    assert not list(modules("text")) and not list(modules(None))
