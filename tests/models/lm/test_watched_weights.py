"""A call that holds addresses learns when a layer or its weight is another."""

from torch import nn

from mmgen.models.cpu.bf16 import Bf16Linear
from mmgen.models.lm.watched_weights import WatchedWeights, address


def test_what_is_replaced_is_noticed() -> None:
    block = nn.ModuleDict({"up": nn.Linear(4, 4), "down": Bf16Linear(nn.Linear(4, 4))})
    known = WatchedWeights()
    known.add(block, "up")
    known.add(block, "down")
    assert known.hold()
    up = block["up"]
    block["up"] = nn.Linear(4, 4)
    assert not known.hold()
    block["up"] = up
    assert known.hold()
    up.weight = nn.Parameter(up.weight.detach().clone())
    assert not known.hold()


def test_another_weight_of_rounded_factors_is_noticed() -> None:
    block = nn.ModuleDict({"down": Bf16Linear(nn.Linear(4, 4))})
    known = WatchedWeights()
    known.add(block, "down")
    block["down"].weight = block["down"].weight.clone()
    assert not known.hold()


def test_nobody_listens() -> None:
    block = nn.ModuleDict({"up": nn.Linear(4, 4)})
    known = WatchedWeights()
    known.add(block, "up")
    handle = block["up"].register_forward_hook(lambda *_: None)
    assert not known.hold()
    handle.remove()
    assert known.hold()


def test_no_tensor_has_no_address() -> None:
    assert address(None) == 0
