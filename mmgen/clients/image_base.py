"""What every text-to-image model is to its callers: parameters in; progress, previews and images out.

Knows no model. Images are (3, H, W) in [-1, 1] on the CPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mmgen import weight_files
from mmgen.deprecated import attributes
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.image_events import CachedSteps, Preview, Progress
from mmgen.image_params import ControlInput, ImageParams, LoraWeight

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.host import ModelHost
    from mmgen.clients.upscaler import UpscalerClient


@attributes(picture="image")
@dataclass(frozen=True, eq=False)
class ImageDone:
    """Event: an image is done."""

    image: int  # its place among the call's images
    pixels: Tensor
    cached: CachedSteps | None = None  # where steps could be left out


class ImageClient(ABC):
    """A model that draws, whose passes are the engine's."""

    size: int | None  # pixels a side that it draws best; None: it does not say
    conditional: bool  # whether it listens to a prompt
    precision: str = ""  # that it was loaded in, as behind a #; empty: a plugin's own

    def __init__(self, host: ModelHost, reference: str, folder: Path) -> None:
        self.host, self.reference, self.folder = host, reference, folder
        self.vae: Path | None = None  # instead of the model's own
        self.text_encoders: tuple[Path, ...] = ()  # of a single file that has none
        self.upscaler_path: Path | None = None
        self.loras: Sequence[LoraWeight] = ()  # of every row, besides its own

    def with_loras(self, loras: Sequence[LoraWeight]) -> Self:
        """The same model, to be called with these LoRA files for every row."""
        client = copy(self)
        client.loras = tuple(loras)
        return client

    def with_preview_decoder(self, path: Path) -> Self:
        """The same model, whose previews a tiny decoder of latents shows. Raises BadRequest where it shows none."""
        raise BadRequest(f"{self.reference} shows no previews of latents; leave --preview-vae out")

    def with_upscaler(self, upscaler: UpscalerClient, path: Path) -> Self:
        """The same model, whose images a network makes larger. Raises BadRequest where that is not done."""
        raise BadRequest(f"{self.reference} runs through diffusers; make its images larger by mmgen upscale")

    @cached_property
    def weights(self) -> str:
        """sha256 of the model's weights, see `weight_files.digest`; those of the LoRA files are not in it."""
        return weight_files.digest(self.folder)

    @abstractmethod
    def resolved(self, params: ImageParams) -> ImageParams:
        """With what this model takes where the caller left it open. Raises BadRequest for what it cannot do."""

    def standard(self, params: ImageParams) -> ImageParams:
        """As `resolved`, also where an image is not there yet that the model needs."""
        return self.resolved(params)

    @abstractmethod
    def check_prompt(self, prompt: str) -> None:
        """Raises BadRequest for marks in a prompt, or a negative one, that this model cannot follow."""

    def count_tokens(self, prompt: str) -> tuple[int, int] | None:
        """Of a prompt, and how many are read at once; None: the model does not say. Raises what `check_prompt` raises."""
        return None

    @abstractmethod
    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size in which it draws best an image that has these sides' ratio."""

    def reference_size(self, width: int, height: int, area: int) -> tuple[int, int]:
        """In which it reads a further image of these sides, where it draws so many pixels. Raises BadRequest: it reads none."""
        raise BadRequest(f"{self.reference} reads one image; leave reference_image out, or take Qwen-Image-Edit-2509 or later")

    def enlarged_by(self, params: ImageParams) -> Path | None:
        """The file of the model's own network that makes a resolved row's image larger at the end; None: none does."""
        return None

    @property
    def edits(self) -> bool:
        """Whether it changes an image as an instruction says, and does nothing else."""
        return False

    def overlays(self, control: ControlInput) -> bool:
        """Whether a control image lies over the one that is drawn, and has its size. Raises what opening its model raises."""
        return True

    def notes(self, params: ImageParams) -> list[str]:
        """What of the resolved call is done otherwise than its words say, a line each."""
        return []

    @abstractmethod
    def draw(self, rows: Sequence[ImageParams], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        """Draws an image for each of the resolved rows, all at once. Leaving the iteration early cancels the request."""
