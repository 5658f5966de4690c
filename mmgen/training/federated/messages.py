"""What server and clients say to each other: plain values and float32 tensors, as safetensors bytes. Nothing is unpickled."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from mmgen.errors import BadRequest

Kind = Literal["fit", "evaluate", "failed"]
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Message:
    """Of a round. A client's answer has the kind of what it was asked, or "failed" with `why` among its values."""

    kind: Kind
    round: int
    values: Mapping[str, Any] = field(default_factory=dict)  # as JSON has them
    tensors: Tensors = field(default_factory=dict)

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def encode(self) -> bytes:
        from safetensors.torch import save

        about = json.dumps({"kind": self.kind, "round": self.round, "values": dict(self.values)})
        return save({name: tensor.detach().contiguous() for name, tensor in self.tensors.items()}, {"message": about})


def decode(data: bytes) -> Message:
    """Raises BadRequest for bytes that are no message."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["message"])
        tensors: dict[str, Tensor] = load(data)
        kind, number, values = about["kind"], about["round"], about["values"]
        if not (isinstance(kind, str) and type(number) is int and isinstance(values, dict)):
            raise TypeError("kind, round or values are of another type")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as why:
        raise BadRequest(f"{len(data):,} bytes are no message ({str(why)[:200] or type(why).__name__})") from None
    return Message(kind, number, values, tensors)  # type: ignore[arg-type]


def check_update(update: Tensors, weights: Tensors, max_norm: float | None = None) -> None:
    """Raises BadRequest where it is not finite float32 with the names and shapes of `weights`, or its L2 norm is too large."""
    for what, names in (("lacks", weights.keys() - update.keys()), ("has an unknown", update.keys() - weights.keys())):
        if names:
            raise BadRequest(f"its update {what} {min(names)[:80]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}")
    for name, tensor in update.items():
        if tensor.shape != weights[name].shape or tensor.dtype != torch.float32:
            wanted = f"{tuple(weights[name].shape)} of float32"
            raise BadRequest(f"its update of {name} is {tuple(tensor.shape)} of {str(tensor.dtype)[6:]}, not {wanted}")
        if not tensor.isfinite().all():
            raise BadRequest(f"its update of {name} holds nan or inf")
    if max_norm is not None and (found := norm(update)) > max_norm:
        raise BadRequest(f"its update has the norm {found:.4g}, above max_norm {max_norm:g}")


def check_told(values: Mapping[str, Any]) -> None:
    """Raises BadRequest where a client's number of examples or its loss is none."""
    examples, loss = values.get("examples"), values.get("loss")
    if type(examples) is not int or not 0 < examples < 2**40:
        raise BadRequest(f"it says that it has {str(examples)[:40]} examples")
    if type(loss) is not float or not abs(loss) < float("inf"):
        raise BadRequest(f"its loss is {str(loss)[:40]}")


def norm(update: Tensors) -> float:
    """L2, of all tensors together."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in update.values()))
