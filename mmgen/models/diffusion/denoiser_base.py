"""What UNets and diffusion transformers have in common for whoever draws with them: sizes, guidance, adapters, latents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.models.diffusion import autoencoder
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.adapters.adapter import ScaledAdapters
from mmgen.models.diffusion.autoencoder import Autoencoder
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.dit.first_block import FirstBlock
from mmgen.models.diffusion.guidance import guide

if TYPE_CHECKING:
    from mmgen.models.diffusion.upscalers.image_upscaler import ImageUpscaler

LARGEST = 8
"""A side may be this many times the size that the model was trained at."""


class DenoiserBase:
    """A network that is evaluated once a step, with its autoencoder. Subclasses set the fields."""

    name: str
    images: Autoencoder
    channels: int  # of the latents
    size: int  # pixels a side that it was trained at
    grain: int  # pixels: the least side, and what the model draws best are multiples of it
    step: int  # pixels: a side is a multiple of it
    enlarger: ImageUpscaler | None = None  # its own, behind the autoencoder
    told: str  # of what image the network is told in every step: "", "inpaint" or "edit"
    adapted: Mapping[str, AdaptedLayers]  # by the names of the networks that LoRA files know

    @property
    def factor(self) -> int:
        """Pixels a latent place, each way."""
        return self.images.factor

    @property
    def best(self) -> int:
        """Pixels a side of the images that it makes best: those of `size`, made larger by its enlarger."""
        return self.size if self.enlarger is None else self.size * self.enlarger.factor

    @property
    def cheap(self) -> bool:
        """Decoding costs next to nothing and needs no turn of its own."""
        return self.images.cheap

    def reference_bytes(self, condition: Conditioning) -> int:
        """What one row of a forward pass holds besides for the further images that its prompt refers to."""
        return 0

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        """See `mmgen.models.diffusion.guidance.guide`."""
        return guide(outputs, guided, scale, rescale)

    def predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Sequence[Conditioning],
        guidance: Tensor | None = None,
        adapters: Sequence[ScaledAdapters] = (),
    ) -> Tensor:
        """One evaluation of the network, (B, C, h, w) -> (B, C, h, w)."""
        raise NotImplementedError

    def first_residuals(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Sequence[Conditioning],
        guidance: Tensor | None = None,
        adapters: Sequence[ScaledAdapters] = (),
    ) -> list[Tensor]:
        """What the first block adds, a row at a time, (tokens, width) or (C, h, w); `predict`'s arguments. No other block is
        run. Raises BadRequest where none is known."""
        found = []
        for row in range(len(x)):
            one = slice(row, row + 1)
            with self.first_block.alone():
                self.predict(
                    x[one], timesteps[one], conditions[one], None if guidance is None else guidance[one],
                    adapters[one] if adapters else (),
                )  # fmt: skip
            assert self.first_block.residual is not None
            found.append(self.first_block.residual[0])
        return found

    @cached_property
    def first_block(self) -> FirstBlock:
        """Raises BadRequest where none is known."""
        network: Any = getattr(self, "network")  # noqa: B009  an attribute of one, a property of the other
        return FirstBlock(network, self.name)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W) in [-1, 1] on the CPU, a large image tile by tile."""
        return autoencoder.decode(self.images, latents)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> latents (B, C, h, w), deterministic."""
        return self.images.encode(images)

    def first_size(self, width: int, height: int) -> tuple[int, int]:
        """The size in which an image of that size is drawn, before its enlarger: about that of training, or a larger one that
        the enlarger brings to the size. It is that size itself up to that of training, and where there is no enlarger."""
        area = width * height / self.size**2
        if self.enlarger is None or area <= 1:
            return width, height
        share = max(1 / self.enlarger.factor, area**-0.5)
        across, down = (self.step * max(1, round(share * side / self.step)) for side in (width, height))
        return across, down

    def check_size(self, width: int, height: int) -> None:
        """Raises BadRequest for an image that the model cannot make."""
        first, most = self.first_size(width, height), LARGEST * self.best
        if first == (width, height):
            self.latent_shape(width, height)
            return
        for word, pixels in (("width", width), ("height", height)):
            if not self.grain <= pixels <= most:
                raise BadRequest(f"{word} is {pixels} pixels; {self.name} draws {self.grain} to {most}, best at {self.best}")
        if not all(self.grain <= side <= LARGEST * self.size for side in first):
            raise BadRequest(f"{width} x {height} pixels are too narrow for {self.name}; it draws best at {self.best} each way")

    def latent_shape(self, width: int, height: int) -> tuple[int, int, int]:
        """(C, h, w) of an image of that size in pixels; BadRequest if the model cannot draw it."""
        least, most = self.grain, LARGEST * self.size
        for word, pixels in (("width", width), ("height", height)):
            if not least <= pixels <= most:
                raise BadRequest(f"{word} is {pixels} pixels; {self.name} draws {least} to {most}, best at {self.best}")
            if pixels % self.step:
                near = max(least, min(most, self.step * round(pixels / self.step)))
                raise BadRequest(f"{word} is {pixels} pixels; {self.name} needs a multiple of {self.step}, such as {near}")
        return self.channels, height // self.factor, width // self.factor

    def _adapted(self, adapters: Sequence[ScaledAdapters], network: str, owners: Sequence[int]) -> AbstractContextManager[None]:
        """Inside, each row of a pass of that network is changed by the adapters of its owner."""
        if not adapters:
            return nullcontext()
        return self.adapted[network].use([[(one.of(network), scale) for one, scale in adapters[owner]] for owner in owners])
