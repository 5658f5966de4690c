"""A preview is decoded when somebody looks, once."""

import torch
from torch import Tensor

from mmgen.image_events import Preview


def test_a_preview_is_decoded_once_and_only_if_it_is_looked_at() -> None:
    calls: list[Tensor] = []

    def decode(latents: Tensor) -> Tensor:
        calls.append(latents)
        return torch.ones(3, 2, 4)

    preview = Preview(1, 2, 4, torch.zeros(4, 1, 1), decode)
    assert calls == []
    assert preview.image.size == (4, 2) and preview.image.getpixel((0, 0)) == (255, 255, 255)
    assert preview.image is preview.image and len(calls) == 1
