"""Attention to images beside the prompt in a UNet's cross-attention layers, each row of a batch with its own images.

`out = attention(q, K text, V text) + sum of scale * attention(q, K image, V image)`; IP-Adapter, Ye et al. 2023, eq. 4 and 5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.models.cpu.batch_invariant_layers import AttentionMode, HeldProcessor

RowPrompts = Sequence[tuple[Any, Tensor, float]]
"""Of a row: each IPAdapter with what it made of the image, (T, D), and its scale."""


class ImagePrompts:
    """A UNet whose cross-attention layers can be given images."""

    def __init__(self, unet: Any) -> None:
        self.paths = layer_paths(unet)
        self.rows: Sequence[RowPrompts] = ()
        for number, path in enumerate(self.paths):
            layer = unet.get_submodule(path)
            layer.processor = PromptedProcessor(layer.processor, self, number)

    @contextmanager
    def use(self, rows: Sequence[RowPrompts]) -> Iterator[None]:
        """Inside, row n of every pass attends to the images of `rows[n]`."""
        self.rows = rows
        try:
            yield
        finally:
            self.rows = ()


class PromptedProcessor(HeldProcessor):
    """Of the cross-attention layer with that number."""

    def __init__(self, processor: Any, prompts: ImagePrompts, number: int) -> None:
        super().__init__(processor.processor if isinstance(processor, HeldProcessor) else processor)
        self.prompts, self.number = prompts, number

    def __call__(self, layer: nn.Module, *args: Any, temb: Tensor | None = None, **more: Any) -> Tensor:
        if not self.prompts.rows:
            return super().__call__(layer, *args, temb=temb, **more)
        with PromptedAttention(self.prompts.rows, self.number):
            return self.processor(layer, *args, temb=temb, **more)


class PromptedAttention(AttentionMode):
    """Within it attention to the prompt is attention to images, too."""

    def __init__(self, rows: Sequence[RowPrompts], number: int) -> None:
        super().__init__()
        self.rows, self.number = rows, number

    def _attention(self, query: Tensor, key: Tensor, value: Tensor, *args: Any, **more: Any) -> Tensor:  # type: ignore[override]
        """(B, heads, N, d)"""
        out = super()._attention(query, key, value, *args, **more)
        for place in range(max(map(len, self.rows))):
            for adapter, rows in _by_adapter(self.rows, place):
                tokens = torch.stack([self.rows[row][place][1] for row in rows]).to(query)
                scales = torch.tensor([self.rows[row][place][2] for row in rows], dtype=query.dtype, device=query.device)
                keys, values = (
                    linear(tokens).unflatten(-1, (query.shape[1], -1)).transpose(1, 2) for linear in adapter.layers[self.number]
                )  # (B, T, D) -> (B, heads, T, d)
                added = super()._attention(query[rows], keys, values)
                out[rows] += scales.view(-1, 1, 1, 1) * added
        return out


def _by_adapter(rows: Sequence[RowPrompts], place: int) -> Iterator[tuple[Any, list[int]]]:
    """The rows whose image at that place is of the same adapter."""
    found: dict[int, tuple[Any, list[int]]] = {}
    for number, row in enumerate(rows):
        if len(row) > place:
            found.setdefault(id(row[place][0]), (row[place][0], []))[1].append(number)
    return iter(found.values())


def layer_paths(unet: Any) -> list[str]:
    """Of the layers that attend to the prompt, as files number them: on the way down, up, and in the middle."""
    return [name.removesuffix(".processor") for name in unet.attn_processors if not name.endswith("attn1.processor")]
