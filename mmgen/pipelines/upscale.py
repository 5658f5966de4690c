"""upscale: an image made larger by a network such as Real-ESRGAN's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from mmgen import value_checks
from mmgen.image_events import image_of
from mmgen.image_params import MAX_SIDE, ImageSource
from mmgen.pipelines.image import image_io, infotext, output_paths

if TYPE_CHECKING:
    from mmgen.engine.job import Request
    from mmgen.runtime import Runtime

MOST = 16.0


@dataclass(frozen=True, eq=False)
class UpscaledImage:
    """A larger image, and what it says in A1111's form of how it was made, if the one given said something."""

    image: Image.Image
    model: str
    scale: float
    parameters: str = field(default="", repr=False)

    def save(self, path: Path) -> None:
        """Writes the PNG whole or not at all. Raises BadRequest where it cannot be written."""
        import io

        from PIL.PngImagePlugin import PngInfo

        file, info = io.BytesIO(), PngInfo()
        if self.parameters:
            info.add_text("parameters", self.parameters)
        self.image.save(file, "PNG", pnginfo=info)
        output_paths.write_whole(path, file.getvalue())

    def __str__(self) -> str:
        return f"{self.image.width} x {self.image.height}, {self.scale:g} times as large"


def upscale(
    rt: Runtime, image: ImageSource, *, model: str, scale: float | None = None, request: Request | None = None
) -> UpscaledImage:
    """Upscale an image by a network such as Real-ESRGAN's.

    image: the image.
    model: the network, a safetensors file.
    scale: how many times as large a side shall be; the network's own unless given, its result is scaled to another.
    """
    value_checks.number("scale", scale, 0, MOST, f"above 0 to {MOST:g}", above=True)
    source = image_io.read(image)
    client = rt.upscaler(model)
    factor = float(client.scale if scale is None else scale)
    width, height = (max(1, round(factor * side)) for side in source.size)
    for name, side in (("width", width), ("height", height)):
        value_checks.number(f"the upscaled {name}", side, 1, 4 * MAX_SIDE, f"1 to {4 * MAX_SIDE} pixels")
    larger = image_of(client.upscale(image_io.colours(source, source.size), request))
    if larger.size != (width, height):
        larger = larger.resize((width, height), Image.Resampling.LANCZOS)
    if source.has_transparency_data:
        larger.putalpha(source.convert("RGBA").getchannel("A").resize(larger.size, Image.Resampling.LANCZOS))
    return UpscaledImage(larger, model, factor, _parameters(source, Path(model).stem, factor))


upscale.command_line = "mmgen.cli.image:upscale_command"  # type: ignore[attr-defined]  # see mmgen.cli.commands


def _parameters(source: Image.Image, name: str, factor: float) -> str:
    """As A1111 writes of an image that it upscaled."""
    if infotext.of(source) is None:
        return ""
    said = str(source.info.get("parameters", "")).rstrip()
    return f"{said}, Postprocess upscale by: {factor:g}, Postprocess upscaler: {name}" if said else ""
