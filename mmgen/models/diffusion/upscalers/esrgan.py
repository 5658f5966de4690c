"""RRDBNet (Wang et al. 2018, ESRGAN; Wang et al. 2021, Real-ESRGAN), its shape read from its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE, RESIDUAL = 0.2, 0.2
OLD_BODY = re.compile(r"model\.1\.sub\.(\d+)\.(?:weight|bias)")


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what those before it made."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for n in range(1, 6):
            out = width if n == 5 else growth
            setattr(self, f"conv{n}", nn.Conv2d(width + (n - 1) * growth, out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for n in range(1, 5):
            seen.append(F.leaky_relu(getattr(self, f"conv{n}")(torch.cat(seen, 1)), SLOPE))
        out: Tensor = getattr(self, "conv5")(torch.cat(seen, 1))  # noqa: B009  made above by its name
        return out * RESIDUAL + x


class ResidualDenseBlock(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return out * RESIDUAL + x


class RRDBNet(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, scale H, scale W). `fold`: pixels a side that are folded into channels at first."""

    def __init__(self, width: int, growth: int, blocks: int, ups: int, fold: int) -> None:
        super().__init__()
        self.fold, self.ups, self.scale = fold, ups, 2**ups // fold
        self.conv_first = nn.Conv2d(3 * fold**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualDenseBlock(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for n in range(1, ups + 1):
            setattr(self, f"conv_up{n}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if self.fold > 1:
            x = F.pad(x, (0, -width % self.fold, 0, -height % self.fold), mode="replicate")
            x = F.pixel_unshuffle(x, self.fold)
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for n in range(1, self.ups + 1):
            x = F.leaky_relu(getattr(self, f"conv_up{n}")(F.interpolate(x, scale_factor=2.0, mode="nearest")), SLOPE)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), SLOPE))
        return out[..., : height * self.scale, : width * self.scale]


def made_of(tensors: Mapping[str, Tensor]) -> RRDBNet | None:
    """The network with these weights, in the old names or the new; None: they are of another kind.

    Raises RuntimeError where some are missing or of another shape.
    """
    if "model.0.weight" in tensors and any(OLD_BODY.fullmatch(name) for name in tensors):
        tensors = _renamed(tensors)
    if not {"conv_first.weight", "body.0.rdb1.conv1.weight", "conv_last.weight"} <= tensors.keys():
        return None
    width, channels = tensors["conv_first.weight"].shape[:2]
    growth = tensors["body.0.rdb1.conv1.weight"].shape[0]
    blocks = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("body."))
    ups = sum(f"conv_up{n}.weight" in tensors for n in range(1, 5))
    fold = round((channels / 3) ** 0.5)
    network = RRDBNet(width, growth, blocks, ups, fold)
    network.load_state_dict(dict(tensors))
    return network


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """ESRGAN's first names as Real-ESRGAN's."""
    last = max(int(found[1]) for name in tensors if (found := OLD_BODY.fullmatch(name)))
    after = sorted({int(name.split(".")[1]) for name in tensors} - {0, 1})
    names = {"model.0": "conv_first", f"model.1.sub.{last}": "conv_body", **_after(after)}
    out = {}
    for name, tensor in tensors.items():
        path, _, end = name.rpartition(".")
        path = re.sub(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0$", r"body.\1.rdb\2.conv\3", path)
        out[f"{names.get(path, path)}.{end}"] = tensor
    return out


def _after(numbers: Sequence[int]) -> dict[str, str]:
    """Convolutions behind the body: those that follow a doubling, and two more."""
    *ups, high, last = numbers
    return {f"model.{n}": f"conv_up{k}" for k, n in enumerate(ups, 1)} | {
        f"model.{high}": "conv_hr",
        f"model.{last}": "conv_last",
    }
