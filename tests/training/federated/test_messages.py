"""What clients send: what is no message, no update, or no number is refused with what is wrong."""

import json

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.training.federated.messages import Message, check_told, check_update, decode

WEIGHTS = {"w": torch.zeros(2, 3), "b": torch.zeros(3)}


def test_a_message_comes_as_it_went() -> None:
    message = Message("fit", 3, {"examples": 7, "list": [1, "é"]}, {"w": torch.randn(2, 3)})
    back = decode(message.encode())
    assert (back.kind, back.round, back.values) == ("fit", 3, {"examples": 7, "list": [1, "é"]})
    assert torch.equal(back.tensors["w"], message.tensors["w"]) and message.tensor_bytes == 24
    assert decode(Message("failed", 0).encode()).tensors == {}


def header(values: object) -> bytes:
    data = json.dumps(values).encode()
    return len(data).to_bytes(8, "little") + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"\xff" * 64,
        (2**63).to_bytes(8, "little"),
        header({"__metadata__": {}}),
        header({"__metadata__": {"message": "[1]"}}),
        header({"__metadata__": {"message": json.dumps({"kind": "fit", "round": "1", "values": {}})}}),
        header({"__metadata__": {"message": "[" * 100_000}}),
        Message("fit", 1, {}, {"w": torch.zeros(9)}).encode()[:-4],
    ],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(BadRequest, match="bytes are no message"):
        decode(data)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"w": None}, "lacks w"),
        ({"x": torch.zeros(1)}, "has an unknown x"),
        ({"b": torch.zeros(4)}, r"of b is \(4,\) of float32, not \(3,\) of float32"),
        ({"b": torch.zeros(3, dtype=torch.int8)}, r"of b is \(3,\) of int8"),
        ({"b": torch.tensor([0, float("nan"), 0])}, "of b holds nan or inf"),
        ({"w": torch.full((2, 3), float("inf"))}, "of w holds nan or inf"),
        ({"b": torch.tensor([3e30, 0, 0])}, r"norm 3e\+30, above max_norm 10"),
    ],
)
def test_what_is_no_update(changed: dict[str, torch.Tensor | None], told: str) -> None:
    update = {name: tensor for name, tensor in {**WEIGHTS, **changed}.items() if tensor is not None}
    with pytest.raises(BadRequest, match=told):
        check_update(update, WEIGHTS, max_norm=10.0)


@pytest.mark.parametrize(
    "values",
    [{}, {"examples": 0, "loss": 1.0}, {"examples": True, "loss": 1.0}, {"examples": 2**60, "loss": 1.0},
     {"examples": 3, "loss": float("nan")}, {"examples": 3, "loss": "low"}],
)  # fmt: skip
def test_what_is_no_number(values: dict[str, object]) -> None:
    with pytest.raises(BadRequest, match=r"examples|loss"):
        check_told(values)
