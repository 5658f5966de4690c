"""Linear layers of somebody else's modules in the forms that our kernels multiply fastest. Knows layers; not models."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import nn

from mmgen.errors import BadRequest
from mmgen.models.cpu.linear import ONEDNN
from mmgen.models.cpu.onednn import PACKS, PackedLinear
from mmgen.models.quantization.int4 import Int4Linear, fits
from mmgen.models.quantization.int8 import Int8Linear


class CalledLinears:
    """Which linear layers are run, while it is open: a layer whose weight is read in another way had better stay as it is."""

    def __init__(self, module: nn.Module) -> None:
        self.found: set[nn.Module] = set()
        self._layers = [one for one in module.modules() if type(one) is nn.Linear]

    def __enter__(self) -> CalledLinears:
        self._hooks = [one.register_forward_hook(lambda layer, *_: self.found.add(layer)) for one in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()


def replace(module: nn.Module, some: Collection[nn.Module], form: Callable[[nn.Linear], nn.Module]) -> None:
    """Puts `form(layer)` in the place, or the places, of each of these layers inside `module`."""
    made: dict[nn.Module, nn.Module] = {}
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if child in some and isinstance(child, nn.Linear):
                made[child] = made.get(child) or form(child)
                setattr(parent, name, made[child])


def packed(linear: nn.Linear) -> nn.Module:
    """Its weights as oneDNN reads them; the layer itself where they are not in fp32 on a CPU."""
    plain = PACKS and linear.weight.device.type == "cpu" and linear.weight.dtype == torch.float32
    return PackedLinear(linear) if plain else linear


def rounded(linear: nn.Linear, precision: str) -> nn.Module:
    """Its weights as int8 or int4; int8 too where int4's kernel does not take its sizes. Raises BadRequest off a CPU."""
    if not ONEDNN or linear.weight.device.type != "cpu":
        raise BadRequest(f"{precision} weights run on a CPU with oneDNN only; use the plain reference on this device")
    return Int4Linear(linear) if precision == "int4" and fits(linear) else Int8Linear(linear)
