"""An image drawn again from its recipe, and held against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops

from mmgen import hub, weight_files
from mmgen.clients.image_base import ImageDone
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound
from mmgen.image_events import Progress, image_of
from mmgen.image_params import ControlImage, ControlInput, ImageParams
from mmgen.pipelines.image import image_checks, image_io, infotext, recipe
from mmgen.pipelines.image.image_pipeline import lora_digest, own_file
from mmgen.pipelines.image.infotext import Infotext
from mmgen.pipelines.image.recipe import Recipe, RecipeFile
from mmgen.pipelines.image.rows import started
from mmgen.pipelines.txt2img import Txt2Img

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient
    from mmgen.runtime import Runtime


@dataclass(frozen=True)
class Reproduction:
    """What came of it."""

    file: str
    equal: bool  # bit by bit
    difference: int  # the largest of a colour of a pixel, of 255
    changed: tuple[str, ...]  # what is not as it was
    image: Image.Image
    recipe: Recipe  # as it was drawn now

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name not in ("image", "recipe")}

    def __str__(self) -> str:
        if self.equal:
            but = f" (although {'; '.join(self.changed)})" if self.changed else ""
            return f"{self.file} is reproduced bit by bit{but}"
        why = "; ".join(self.changed) or "nothing else is known to differ: images drawn together can differ by 1"
        return f"{self.file} is not reproduced: the largest difference of a pixel is {self.difference} of 255; {why}"


def reproduce(
    rt: Runtime,
    path: Path,
    *,
    sources: tuple[Path | None, Path | None] = (None, None),
    model: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    request: Request | None = None,
) -> Reproduction:
    """Draws an image again as its recipe says, or as another tool's parameters in it do.

    sources: where the image and the mask are that it began with; by default beside it, or in the current folder.
    model: instead of the recipe's; other tools name theirs in ways that are not known here.
    Raises UnreadableFile for a file without recipe, NotFound for a model or image that is gone.
    """
    image = image_io.read(path)
    if recipe.CHUNK not in image.info and (said := infotext.of(image)) is not None:
        return followed(rt, path, image, said, model, progress, request)
    made = recipe.of(image, str(path))
    source, mask = (find(part, path, given) for part, given in zip((made.image, made.mask), sources, strict=True))
    mask = None if mask is None else image_checks.mask(mask, source)
    controls = recalled_controls(made, path)
    further = [opened for one in made.reference_image if (opened := find(one, path, None)) is not None]
    client = client_of(rt, made, model)
    asked = replace(params_of(made), reference_image=further)
    for text in (asked.prompt, asked.negative):
        client.check_prompt(text)
    params = client.resolved(started(asked, client, source, mask, controls))
    drawn = image
    for event in client.draw([params], request or Request.new()):
        if isinstance(event, ImageDone):
            drawn = image_of(event.pixels)
        elif progress is not None and isinstance(event, Progress):
            progress(event)
    later = [f"it says {name}, which a later version of mmgen wrote" for name in recipe.unknown(image)]
    larger = own_file(client, client.enlarged_by(params))
    changed = (*later, *changes(made, client, rt.device, source, mask, *further), *control_changes(made, controls))
    changed = (*changed, *enlarging_changes(made, larger))
    here = {
        "super_resolution": larger,
        "weights": client.weights,
        "versions": recipe.versions(),
        "device": rt.device,
        "precision": client.precision,
    }
    now = made.model_copy(update=here)
    difference = most_different(image, drawn)
    return Reproduction(str(path), difference == 0, difference, changed, drawn, now)


def followed(
    rt: Runtime,
    path: Path,
    image: Image.Image,
    said: Infotext,
    model: str | None,
    progress: Callable[[Progress], None] | None,
    request: Request | None,
) -> Reproduction:
    """What another tool's parameters say, drawn as far as it can be."""
    if model is None:
        names = [f"{key.lower()} {said.settings[key]}" for key in ("Model", "Model hash") if key in said.settings]
        told = f"{path} was made by {said.tool} with {', '.join(names) or 'a model that it does not name'}"
        raise BadRequest(f"{told}; say which it is with --model")
    options, notes = infotext.options(said)
    for event in Txt2Img(rt, model=model).stream(**options, request=request or Request.new()):
        if event.kind == "step" and progress is not None:
            progress(event.value)
    (drawn,), (made,) = event.value.images, event.value.recipes
    difference = most_different(image, drawn)
    return Reproduction(str(path), difference == 0, difference, tuple(notes), drawn, made)


def client_of(rt: Runtime, made: Recipe, model: str | None = None) -> ImageClient:
    """The model, or the one to take instead, in the recipe's precision; where none is recorded in fp32, if it can be chosen."""
    vae = None if made.vae is None else made.vae.file
    lora, wanted, reference = [f"{one.file}@{one.scale:g}" for one in made.lora], made.precision, model or made.model
    parts = lora, vae, [one.file for one in made.text_encoder], None, None if made.upscaler is None else made.upscaler.file
    if "#" in reference:
        return rt.denoiser(reference, *parts)
    client = rt.denoiser(f"{reference}#{wanted}" if wanted else reference, *parts)
    return rt.denoiser(f"{reference}#fp32", *parts) if client.precision not in ("", wanted or "fp32") else client


def params_of(made: Recipe) -> ImageParams:
    """What the recipe says, checked as a call's options are: it comes from anywhere."""
    learned = tuple(Path(one.file) for one in made.embedding)
    return image_checks.worded(ImageParams(**made.options(), embeddings=learned))


def find(part: RecipeFile | None, image: Path, given: Path | None) -> Image.Image | None:
    """A file that the recipe names, opened."""
    if part is None:
        if given is not None:
            raise BadRequest(f"{image} began with no such image; leave {given} out")
        return None
    name = Path(part.file).name  # a recipe comes from anywhere: nothing beyond these two folders is opened by its word
    if given is None and not name:
        raise NotFound(f"{image} began with an image that was no file; give it with --image or --mask")
    for path in [given] if given else [image.parent / name, Path(name)]:
        if given or path.is_file():
            return image_io.read(path)
    raise NotFound(f"{image} began with {name}, which is not beside it; give it with --image or --mask")


def recalled_controls(made: Recipe, image: Path) -> list[ControlInput]:
    """The control images that the recipe names, opened; they lie beside the image, or in the current folder."""
    found = []
    for one in made.control:
        opened = find(one, image, None)
        assert opened is not None
        asked = ControlImage(one.model, opened, one.scale, one.start, one.end, one.kind)
        found.append(ControlInput(asked, one.reference, image_io.srgb(opened)))
    return found


def control_changes(made: Recipe, controls: Sequence[ControlInput]) -> list[str]:
    """What differs from then of what controlled the image, in words."""
    found = []
    for then, now in zip(made.control, controls, strict=True):
        if then.sha256 != image_io.digest(now.image):
            found.append(f"control image {then.file} is another image")
        if then.weights != weight_files.digest(hub.resolve(then.reference, kind="control")):
            found.append(f"the weights of control model {then.reference} are others")
    return found


def enlarging_changes(made: Recipe, now: RecipeFile | None) -> list[str]:
    """What differs from then of the model's own super-resolution, in words."""
    then = made.super_resolution
    if then is None and now is not None:
        return [f"it was drawn at {made.width} x {made.height} at once, which {made.model} makes by super-resolution now"]
    if then is not None and now is None:
        return [f"it was made larger by super-resolution, which {made.model} has not now"]
    return [f"the super-resolution of {made.model} is another"] if then and now and then.sha256 != now.sha256 else []


def changes(
    made: Recipe, client: ImageClient, device: str, source: Image.Image | None, mask: Image.Image | None, *further: Image.Image
) -> list[str]:
    """What differs from then, in words."""
    found = []
    if made.weights != client.weights:
        found.append(f"the weights of {made.model} are others")
    for then, now in zip(made.lora, client.loras, strict=True):
        if then.sha256 != lora_digest(now.path):
            found.append(f"LoRA {now.path} is another")
    if made.vae is not None and client.vae is not None and made.vae.sha256 != lora_digest(client.vae):
        found.append(f"VAE {client.vae} is another")
    if made.upscaler is not None and client.upscaler_path and made.upscaler.sha256 != lora_digest(client.upscaler_path):
        found.append(f"upscaler {client.upscaler_path} is another")
    for then, path in zip(made.text_encoder, client.text_encoders, strict=True):
        if then.sha256 != lora_digest(path):
            found.append(f"text encoder {path} is another")
    for one in made.embedding:
        if one.sha256 != weight_files.file_digest(Path(one.file)):
            found.append(f"embedding {one.file} is another")
    for part, image in zip((made.image, made.mask, *made.reference_image), (source, mask, *further), strict=True):
        if part is not None and image is not None and part.sha256 != image_io.digest(image):
            found.append(f"{part.file} is another image")
    here = recipe.versions()
    found += [
        f"{name} was {made.versions.get(name)} and is {here[name]}" for name in here if made.versions.get(name) != here[name]
    ]
    return [*found, f"it was drawn on {made.device}, now on {device}"] if made.device != device else found


def most_different(one: Image.Image, other: Image.Image) -> int:
    """0 to 255; images of unlike size differ by 255."""
    if one.size != other.size:
        return 255
    extrema = ImageChops.difference(one.convert("RGB"), other.convert("RGB")).getextrema()
    return max(int(high) for _, high in extrema)  # type: ignore[misc]
