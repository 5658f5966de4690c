"""Everything an image call can say, declared once: its type, default, limits and help.

The pipelines' signatures, the CLI's options, the HTTP schemas, the web form and the recipe are derived from these fields,
and the same object travels from the caller to the denoiser's row. Annotations are types here, not texts, as others read them.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image

from mmgen.errors import BadRequest, NotFound
from mmgen.params import check, param
from mmgen.value_checks import MAX_SEED, MAX_TEXT_CHARS, number

if TYPE_CHECKING:
    from torch import Tensor

MAX_IMAGES = 1000
MAX_STEPS = 1000
MAX_LORA_SCALE = 100
MAX_SIDE = 8192  # pixels
MAX_HIRES = 4
MAX_PADDING = 1024  # pixels around a mask
MAX_CONTROLS = 8  # images that control one image
MAX_REFERENCES = 8  # images besides the one that is edited
MAX_CONTROL_SCALE = 10
IP_ADAPTER = "ip-adapter"  # the name of the model that reads image prompts
CONTROL_KINDS = ("canny", "raw")
"""What becomes of a control image: its edges are found (Canny 1986), or it is taken as it is."""
SOLVERS = (
    "ddpm", "ddim", "euler", "euler-a", "heun", "dpm++2m", "dpm++2m-karras", "dpm++2m-sde", "dpm++2m-sde-karras", "dpm++sde",
    "dpm++sde-karras", "dpm++3m-sde", "dpm++3m-sde-karras", "unipc", "lcm",
)  # fmt: skip
"""Names of `mmgen.models.diffusion.solvers.SOLVERS`, without torch."""
SAMPLERS = {
    "ddpm": "DDPM",
    "ddim": "DDIM",
    "euler": "Euler",
    "euler-a": "Euler a",
    "heun": "Heun",
    "dpm++2m": "DPM++ 2M",
    "dpm++2m-karras": "DPM++ 2M Karras",
    "dpm++2m-sde": "DPM++ 2M SDE",
    "dpm++2m-sde-karras": "DPM++ 2M SDE Karras",
    "dpm++sde": "DPM++ SDE",
    "dpm++sde-karras": "DPM++ SDE Karras",
    "dpm++3m-sde": "DPM++ 3M SDE",
    "dpm++3m-sde-karras": "DPM++ 3M SDE Karras",
    "unipc": "UniPC",
    "lcm": "LCM",
}
"""Solvers as AUTOMATIC1111's web UI and its kin call them."""
ImageSource = str | Path | Image
"""An image as a caller has it: a file, or opened."""


@dataclass(frozen=True)
class LoraWeight:
    """A LoRA file, or the folder of one, and how much of it."""

    path: Path
    scale: float = 1.0

    def __post_init__(self) -> None:
        limits = f"-{MAX_LORA_SCALE} to {MAX_LORA_SCALE}, usually 0 to 1"
        number(f"LoRA {self.path}: the scale", self.scale, -MAX_LORA_SCALE, MAX_LORA_SCALE, limits)

    @classmethod
    def read(cls, text: str) -> "LoraWeight":
        """From `PATH`, `PATH@SCALE`, or a repository's `org/name[:FILE][@SCALE]`, which is fetched unless it is here."""
        path, _, scale = text.rpartition("@")
        try:
            lora = cls(Path(path).expanduser(), float(scale)) if path else cls(Path(text).expanduser())
        except ValueError:  # the @ belongs to the path
            lora = cls(Path(text).expanduser())
        name = str(lora.path)
        if lora.path.exists():
            return lora
        if name.count("/") == 0 or name.startswith(("/", "~", ".")) or (name.endswith(".safetensors") and ":" not in name):
            raise NotFound(f"LoRA {name} does not exist; give a safetensors file, or FILE@SCALE")
        from mmgen import hub

        return cls(hub.adapter(name), lora.scale)

    def __str__(self) -> str:
        return f"{self.path}@{self.scale:g}"


@dataclass(frozen=True)
class ControlImage:
    """An image that controls where things stand, or what they look like: what a ControlNet is given beside the prompt.

    Raises BadRequest for a value out of its limits.
    """

    model: str  # a name, or the reference of a ControlNet
    image: ImageSource
    scale: float = 1.0  # how strongly
    start: float = 0.0  # from that share of the steps on
    end: float = 1.0  # up to that share
    kind: str = ""  # one of CONTROL_KINDS; "": canny where the model's name says so, and otherwise raw

    def __post_init__(self) -> None:
        name = f"control {self.model}"
        if not self.kind:
            object.__setattr__(self, "kind", "canny" if "canny" in Path(self.model).name.lower() else "raw")
        if self.kind not in CONTROL_KINDS:
            raise BadRequest(f"{name}: the kind is {self.kind!r}; it can be {' or '.join(CONTROL_KINDS)}")
        number(f"{name}: the scale", self.scale, 0, MAX_CONTROL_SCALE, f"0 to {MAX_CONTROL_SCALE}, usually up to 1")
        for word, share in (("start", self.start), ("end", self.end)):
            number(f"{name}: the {word}", share, 0, 1, "0 (the first step) to 1 (the last)")
        if self.start >= self.end:
            raise BadRequest(
                f"{name}: it would act from {self.start:g} to {self.end:g} of the steps; let it end after its start"
            )

    @classmethod
    def read(cls, text: str) -> "ControlImage":
        """From `MODEL[:KIND]=IMAGE[@SCALE[:START-END]]`, such as `canny=photo.png@0.8` or `depth=map.png@1:0-0.5`."""
        model, found, rest = text.partition("=")
        if not (found and model.strip() and rest.strip()):
            raise BadRequest(f"control is {text[:80]!r}; write MODEL=IMAGE or MODEL=IMAGE@SCALE, such as canny=photo.png@0.8")
        before, _, kind = model.rpartition(":")
        model, kind = (before, kind) if before and kind in CONTROL_KINDS else (model, "")
        image, scale, start, end = _scaled(rest)
        return cls(model.strip(), Path(image).expanduser(), scale, start, end, kind)


def _scaled(text: str) -> tuple[str, float, float, float]:
    """`IMAGE[@SCALE[:START-END]]` -> the image, scale, start, end; any other @ belongs to the file's name."""
    value = r"-?\d*\.?\d+(?:e-?\d+)?|-?nan|-?inf"
    found = re.fullmatch(rf"(.+)@({value})(?::({value})-({value}))?", text.strip(), re.DOTALL)
    if found is None:
        return text.strip(), 1.0, 0.0, 1.0
    return found[1], float(found[2]), float(found[3] or 0), float(found[4] or 1)


@dataclass(frozen=True, eq=False)
class ControlInput:
    """A control image as a client takes it."""

    asked: ControlImage
    reference: str  # of the model
    image: Image  # RGB, in its own size
    pixels: "Tensor | None" = None  # (3, height, width) in [0, 1]: the map in the size drawn

    def note(self, size: tuple[int, int]) -> str:
        """How it is changed to be of that size, in words; empty where it is not."""
        if self.image.size == size:
            return ""
        theirs, ours = ("{} x {}".format(*one) for one in (self.image.size, size))
        cut = "" if self.image.width * size[1] == self.image.height * size[0] else "cut and "
        return f"the image of control {self.asked.model} is {theirs} pixels; it was {cut}scaled to {ours}"


@dataclass(frozen=True)
class HiresFix:
    """An image drawn once more at a larger size, begun with itself."""

    scale: float  # of a side
    strength: float = 0.5

    @classmethod
    def read(cls, text: str) -> "HiresFix":
        """From `2x@0.5`, `2@0.5` or `2x`. Raises BadRequest for another text, and values out of their limits."""
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)x?\s*(?:@\s*(\d*\.?\d+))?\s*", text)
        if found is None:
            raise BadRequest(f"hires is {text[:40]!r}; write SCALE@STRENGTH, such as 2x@0.5")
        made = cls(float(found[1]), float(found[2] or 0.5))
        number("the scale of hires", made.scale, 1, MAX_HIRES, f"above 1 to {MAX_HIRES}", above=True)
        number("the strength of hires", made.strength, 0, 1, "above 0 to 1", above=True)
        return made


@dataclass(frozen=True, eq=False)
class ImageParams:
    """One image, or `n` of them under successive seeds. What is None is the model's choice, until a client has resolved it.

    Raises BadRequest or TooLong for a value out of its limits, whoever makes it.
    """

    image: ImageSource | None = param(None, "the image to begin with.", recorded=False)  # noqa: RUF009  a field
    mask: ImageSource | None = param(  # noqa: RUF009  a field
        None, "an image of the same size: white is drawn anew, black stays.", recorded=False
    )
    prompt: str = param("", "what to draw.", longest=MAX_TEXT_CHARS, many=True)
    strength: float = param(
        1.0,
        "how far from the image: above 0 (hardly) to 1 (nothing of it is left). Of the steps so many are done.",
        least=0,
        most=1,
        above=True,
        limits="above 0 (close to the image) to 1 (far from it)",
        label="Denoising strength",
        slider=(0.05, 1, 0.05),
    )
    negative: str = param("", "what not to draw.", longest=MAX_TEXT_CHARS, text="negative prompt", label="Negative prompt")
    n: int = param(
        1,
        "images a prompt; they take the seed and its successors.",
        least=1,
        most=MAX_IMAGES,
        label="Images",
        slider=(1, 8, 1),
        recorded=False,
    )
    best_of: int = param(
        1,
        "draws so many candidates for every image and keeps the one that an image encoder finds the best. They take the seed "
        "and its successors too: the first image's, then the second's; each image keeps its own.",
        least=1,
        most=MAX_IMAGES,
        recorded=False,
    )
    seed: int | None = param(
        None,
        "the same seed draws the same image; without one, or with -1, it is drawn at random and reported.",
        least=-1,
        most=MAX_SEED,
        limits=f"0 to {MAX_SEED}, or -1 for a random one",
    )
    steps: int | None = param(
        None, "how many steps the whole way has; the default is the model's, 20 for most.", least=1, most=MAX_STEPS,
        slider=(1, 100, 1),
    )  # fmt: skip
    guidance: float | None = param(
        None,
        "how closely to follow the prompt, 1 (not more than it must) to 15.",
        least=0,
        most=math.inf,
        limits="0 or more, usually 1 to 15",
        label="CFG scale (guidance)",
        slider=(1, 15, 0.5),
    )
    guidance_rescale: float = param(
        0.0, "0 to 1: takes back the contrast that a high guidance adds.", least=0, most=1, slider=(0, 1, 0.05)
    )
    image_guidance: float | None = param(
        None,
        "how closely an edit keeps to its image, 1 (no more than it must) to 3; 1.5 unless said. Read by InstructPix2Pix.",
        least=1,
        most=100,
        label="Image CFG scale",
        slider=(1, 3, 0.1),
    )
    solver: str | None = param(None, f"{', '.join(SOLVERS[:-1])} or {SOLVERS[-1]}.", choices=SOLVERS, label="Sampler (solver)")
    width: int | None = param(
        None, "pixels; the default suits the model, and the given image's ratio.", least=1, most=MAX_SIDE,
        limits=f"1 to {MAX_SIDE} pixels",
    )  # fmt: skip
    height: int | None = param(
        None, "pixels, as width.", least=1, most=MAX_SIDE, limits=f"1 to {MAX_SIDE} pixels"
    )  # fmt: skip
    hires: str | None = param(
        None,
        "draws the image once more at a larger size, begun with itself (hires fix): SCALE@STRENGTH, such as 2x@0.5.",
        longest=40,
        label="Hires fix",
    )
    step_cache: float = param(
        0.0,
        "a step in which the network's first block adds about the same as before is not computed. The relative change up to "
        "which that holds, such as 0.1; 0: every step is computed.",
        least=0,
        most=1,
        label="Step cache (threshold)",
    )
    only_masked: int | None = param(
        None,
        "draws the masked part alone, at the full size, with so many pixels of the image around it (such as 32), and pastes it "
        "back: small things come out in detail. Without it the whole image is drawn.",
        least=0,
        most=MAX_PADDING,
        label="Only masked, padding in pixels",
    )
    style: str | None = param(None, "a word for the style, such as flat.", recorded=False)
    image_prompt: Sequence[ControlImage | str | Path] = param(
        (),
        "an image that says what it shall look like: IMAGE@SCALE, for the IP-Adapter that is called ip-adapter, as control "
        "takes it. Several may be given.",
        recorded=False,
    )
    reference_image: Sequence[str | Path | Image] = param(
        (),
        "a further image that the instruction speaks of: image is Picture 1, these are Picture 2, Picture 3 and so on. Read by "
        "Qwen-Image-Edit-2509 and later. Several may be given.",
        recorded=False,
    )
    x: str | None = param(
        None,
        'an X/Y plot: an option and its values from left to right, such as "steps=4,8,20" or "prompt=cat|dog" '
        "(the first stands in the prompt, the others replace it).",
        longest=MAX_TEXT_CHARS,
        label="X axis of a plot",
        recorded=False,
    )
    y: str | None = param(
        None, "its values from top to bottom, likewise.", longest=MAX_TEXT_CHARS, label="Y axis of a plot", recorded=False
    )
    control: Sequence[ControlImage | str] = param(
        (),
        "an image that controls where things stand: MODEL=IMAGE@SCALE, such as canny=photo.png@0.8, or with the share of the "
        "steps in which it acts, canny=photo.png@0.8:0-0.5. MODEL is a name that control_model gives, that of a file or folder "
        "in controlnet/ of the home directory, or a reference. Its edges are found for a model called canny; canny:raw takes "
        "the image as it is. Several may be given.",
        recorded=False,
    )
    preview_every: int = param(
        0, "show the unfinished image after so many steps; 0: never.", least=0, most=MAX_STEPS, recorded=False
    )
    pixels: "Tensor | None" = None  # (3, height, width) in [-1, 1]: `image` in the size drawn; the pipeline
    loras: tuple[LoraWeight, ...] = ()  # besides those of the whole call: what the prompt names; the pipeline
    embeddings: tuple[Path, ...] = ()  # files of textual inversion; the pipeline
    controls: tuple[ControlInput, ...] = ()  # `control` with opened images; the pipeline
    references: "tuple[Tensor, ...]" = ()  # `reference_image`, (3, height, width) in [-1, 1] each; the pipeline
    region: tuple[int, int, int, int] | None = None  # of `image`: what is drawn of it with only_masked; the pipeline
    mask_pixels: "Tensor | None" = None  # (1, height, width) in [0, 1]: `mask` likewise; 1 is drawn anew; the pipeline

    def __post_init__(self) -> None:
        if self.solver is not None and self.solver not in SOLVERS:
            object.__setattr__(self, "solver", solver_of(self.solver) or self.solver)
        single = str | Path | ControlImage
        given = [self.control] if isinstance(self.control, single) else self.control
        prompts = [self.image_prompt] if isinstance(self.image_prompt, single) else self.image_prompt
        said = [*given, *(f"{IP_ADAPTER}={one}" if isinstance(one, str | Path) else one for one in prompts)]
        control = tuple(ControlImage.read(one) if isinstance(one, str) else one for one in said)
        object.__setattr__(self, "image_prompt", ())
        if len(control) > MAX_CONTROLS:
            raise BadRequest(f"{len(control)} images control this one; give {MAX_CONTROLS} at most")
        object.__setattr__(self, "control", control)
        more = self.reference_image
        object.__setattr__(self, "reference_image", (more,) if isinstance(more, str | Path | Image) else tuple(more))
        if len(self.reference_image) > MAX_REFERENCES:
            raise BadRequest(f"{len(self.reference_image)} reference images; give {MAX_REFERENCES} at most")
        check(self)
        if self.hires is not None:
            HiresFix.read(self.hires)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, once resolved."""
        assert self.width is not None and self.height is not None
        return self.width, self.height


def solver_of(sampler: str, schedule: str = "") -> str | None:
    """Our name for a sampler that goes by another, such as "DPM++ 2M Karras" or "dpmpp_2m" with schedule "karras".

    schedule: A1111's schedule type, or ComfyUI's scheduler; "": it is in the sampler's name, or the usual one.
    None: there is none here.
    """
    plain = ("", "automatic", "uniform", "normal", "ddimuniform")
    name, kind = _letters(sampler), _letters(schedule)
    known = {_letters(one): ours for ours, theirs in SAMPLERS.items() for one in (ours, theirs)}
    return known.get(name if kind in plain else name + kind)


def _letters(name: str) -> str:
    """Without case and marks; ComfyUI's and diffusers' spellings as the others'."""
    name = re.sub(r"dpm\+\+|dpmpp", "dpmpp", str(name).lower())
    return re.sub(r"[^a-z0-9]", "", name.replace("ancestral", "a").removesuffix("_gpu"))
