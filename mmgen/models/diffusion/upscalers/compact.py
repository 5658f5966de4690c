"""SRVGGNetCompact, Real-ESRGAN's small network (realesr-general-x4v3, anime video), its shape read from its tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn


class CompactNet(nn.Module):
    """(B, 3, H, W) in [0, 1] -> (B, 3, scale H, scale W): convolutions at the small size, added to the nearest pixels."""

    def __init__(self, width: int, layers: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        body: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.PReLU(width)]
        for _ in range(layers):
            body += [nn.Conv2d(width, width, 3, padding=1), nn.PReLU(width)]
        self.body = nn.Sequential(*body, nn.Conv2d(width, 3 * scale**2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = F.pixel_shuffle(self.body(x), self.scale)
        return out + F.interpolate(x, scale_factor=float(self.scale), mode="nearest")


def made_of(tensors: Mapping[str, Tensor]) -> CompactNet | None:
    """The network with these weights; None: they are of another kind. Raises RuntimeError where some are missing."""
    numbers = sorted({int(name.split(".")[1]) for name in tensors if name.startswith("body.") and name.split(".")[1].isdigit()})
    first = tensors.get("body.0.weight")
    if first is None or first.dim() != 4 or first.shape[1] != 3 or getattr(tensors.get("body.1.weight"), "ndim", 0) != 1:
        return None
    scale = round((tensors[f"body.{numbers[-1]}.bias"].shape[0] / 3) ** 0.5)
    network = CompactNet(first.shape[0], (len(numbers) - 3) // 2, scale)
    network.load_state_dict(dict(tensors))
    return network
