"""What other tools write into their images: A1111, Forge, SD.Next and others as `parameters`, in PNG, JPEG and WebP."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams, solver_of

if TYPE_CHECKING:
    from PIL.Image import Image

PAIR = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
"""A name and its value, which ends at a comma unless it is quoted as JSON."""
FEWEST = 3  # pairs of a last line that is settings
EXIF, COMMENT = 0x8769, 0x9286
OTHERS = {"invokeai_metadata": "InvokeAI", "sd-metadata": "InvokeAI", "workflow": "ComfyUI", "prompt": "ComfyUI"}
"""Text chunks of tools that write no `parameters`."""
MEANT = {
    "Steps",
    "Sampler",
    "Schedule type",
    "CFG scale",
    "Seed",
    "Size",
    "Denoising strength",
    "Hires upscale",
    "Model",
    "Model hash",
    "Version",
}
"""Settings that are followed, or say what made the image."""


@dataclass(frozen=True)
class Infotext:
    """What an image says of itself in A1111's form."""

    prompt: str
    negative: str
    settings: dict[str, str] = field(default_factory=dict)  # in their order

    @property
    def tool(self) -> str:
        version = self.settings.get("Version", "")
        if version.startswith("f"):
            return f"Forge {version}"
        return f"A1111 {version}" if version else self.settings.get("App", "another tool")


def of(image: Image) -> Infotext | None:
    """Of an opened image; None where it says nothing in that form."""
    text = _text(image)
    return None if text is None or text.lstrip().startswith("{") else parse(text)


def other_tool(image: Image) -> str:
    """The name of a tool that wrote its own form; empty where there is none."""
    return next((tool for chunk, tool in OTHERS.items() if chunk in image.info), "")


def parse(text: str) -> Infotext:
    """The last line is settings if it has three pairs or more; `Negative prompt:` begins the negative one."""
    *lines, last = text.strip().split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < FEWEST:
        lines, pairs = [*lines, last], []
    parts: dict[str, list[str]] = {"prompt": [], "negative": []}
    into = "prompt"
    for line in (one.strip() for one in lines):
        if line.startswith("Negative prompt:"):
            into, line = "negative", line[16:].strip()
        parts[into].append(line)
    prompt, negative = ("\n".join(one).strip() for one in parts.values())
    return Infotext(prompt, negative, {name.strip(): _value(value) for name, value in pairs})


def options(found: Infotext) -> tuple[dict[str, Any], list[str]]:
    """As ImageParams takes them, and in words what cannot be followed. Raises BadRequest for values that are none."""
    settings, told = found.settings, []
    given: dict[str, Any] = {"prompt": found.prompt, "negative": found.negative}
    sampler, schedule = settings.get("Sampler", ""), settings.get("Schedule type", "")
    given["solver"] = solver_of(sampler, schedule) if sampler else None
    if sampler and given["solver"] is None:
        name = " ".join(filter(None, (sampler, schedule)))
        told.append(f"sampler {name} is not here, so the model's usual one draws")
    for name, key, kind in (("steps", "Steps", int), ("guidance", "CFG scale", float), ("seed", "Seed", int)):
        if key in settings:
            given[name] = _as(kind, key, settings[key])
    if "Denoising strength" in settings and "Hires upscale" not in settings:
        told.append("it began with another image (denoising strength), which it does not hold")
    if "Hires upscale" in settings:
        given["hires"] = f"{settings['Hires upscale']}x@{settings.get('Denoising strength', '0.5')}"
    if size := re.fullmatch(r"(\d+)x(\d+)", settings.get("Size", "")):
        given["width"], given["height"] = int(size[1]), int(size[2])
    told += [f"{name}: {value} is not followed" for name, value in settings.items() if name not in MEANT]
    told.append("its noise was drawn by another program, so the same seed draws another image")
    ImageParams(**given)
    return {name: value for name, value in given.items() if value is not None}, told


def _text(image: Image) -> str | None:
    """From a PNG's text chunk, or the EXIF comment of other files."""
    if isinstance(said := image.info.get("parameters"), str):
        return said
    try:
        comment = image.getexif().get_ifd(EXIF).get(COMMENT)
    except Exception:  # damaged EXIF says nothing
        return None
    if isinstance(comment, str):
        return comment
    if not isinstance(comment, bytes) or len(comment) < 8:
        return None
    code, raw = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        little = raw[:2] == b"\xff\xfe" or (raw[1:2] == b"\0" and raw[:1] != b"\0")
        return raw.decode("utf-16-le" if little else "utf-16-be", "replace").lstrip("\ufeff")
    return raw.decode("utf-8", "replace") if code in (b"ASCII\0\0\0", b"\0" * 8) else None


def _value(value: str) -> str:
    try:
        return str(json.loads(value)) if value[:1] == '"' else value.strip()
    except ValueError:
        return value.strip()


def _as(kind: type[int] | type[float], key: str, value: str) -> int | float:
    try:
        return kind(value)
    except ValueError:
        raise BadRequest(f"{key} of the image's parameters is {value[:40]!r}; it should be a number") from None
