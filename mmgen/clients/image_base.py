"""What every text-to-image model is to its callers: parameters in; progress, previews and images out.

Knows no model. Images are (3, H, W) in [-1, 1] on the CPU.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen import weight_files
from mmgen.deprecated import attributes
from mmgen.engine.job import Request
from mmgen.errors import NotFound
from mmgen.image_events import Preview, Progress
from mmgen.image_params import ImageParams

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.clients.host import ModelHost


@dataclass(frozen=True)
class LoraWeight:
    """A LoRA file and how much of it."""

    path: Path
    scale: float = 1.0

    @classmethod
    def read(cls, text: str) -> LoraWeight:
        """From `PATH` or `PATH@SCALE`."""
        path, _, scale = text.rpartition("@")
        try:
            lora = cls(Path(path).expanduser(), float(scale)) if path else cls(Path(text).expanduser())
        except ValueError:  # the @ belongs to the path
            lora = cls(Path(text).expanduser())
        if not lora.path.exists():
            raise NotFound(f"LoRA {lora.path} does not exist; give a safetensors file, or FILE@SCALE")
        return lora

    def __str__(self) -> str:
        return f"{self.path}@{self.scale:g}"


@attributes(picture="image")
@dataclass(frozen=True, eq=False)
class ImageDone:
    """Event: an image is done."""

    image: int  # its place among the call's images
    pixels: Tensor


class ImageClient(ABC):
    """A model that draws, whose passes are the engine's."""

    size: int | None  # pixels a side that it draws best; None: it does not say
    conditional: bool  # whether it listens to a prompt

    def __init__(self, host: ModelHost, reference: str, folder: Path, loras: Sequence[LoraWeight]) -> None:
        self.host, self.reference, self.folder, self.loras = host, reference, folder, list(loras)

    @cached_property
    def weights(self) -> str:
        """sha256 of the model's weights, see `weight_files.digest`; those of the LoRA files are not in it."""
        return weight_files.digest(self.folder)

    @abstractmethod
    def resolved(self, params: ImageParams) -> ImageParams:
        """With what this model takes where the caller left it open. Raises BadRequest for what it cannot do."""

    @abstractmethod
    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size in which it draws best an image that has these sides' ratio."""

    @abstractmethod
    def draw(self, rows: Sequence[ImageParams], request: Request) -> Iterator[Progress | Preview | ImageDone]:
        """Draws an image for each of the resolved rows, all at once. Leaving the iteration early cancels the request."""
