"""What the image pipelines have in common: a checked call, its events, and the images with their recipes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from PIL.Image import Image

from mmgen import image_params, weight_files
from mmgen.clients.image_base import ImageDone
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.image_events import Preview, Progress, image_of
from mmgen.image_params import ImageParams, ImageSource
from mmgen.pipelines.image import (
    control_images,
    image_checks,
    image_io,
    only_masked,
    output_paths,
    plot,
    prompt_files,
    recipe,
    rows,
)
from mmgen.pipelines.image.axes import cells
from mmgen.pipelines.image.best_of import BestOf
from mmgen.pipelines.image.call_signature import call_signature, docstring
from mmgen.pipelines.image.recipe import Recipe, RecipeCache, RecipeFile
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.pipelines.timings import Clock

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient
    from mmgen.runtime import Runtime


@dataclass(frozen=True, eq=False)
class FinishedImage:
    """A finished image: the value of an "image" event."""

    index: int
    image: Image
    recipe: Recipe

    @property
    def seed(self) -> int:
        return self.recipe.seed

    def png(self) -> bytes:
        """With its recipe."""
        return recipe.png(self.image, self.recipe)

    def save(self, path: Path) -> None:
        """Writes the PNG whole or not at all. Raises BadRequest where it cannot be written."""
        recipe.save(self.image, self.recipe, path)


@dataclass(frozen=True, eq=False)
class Images:
    """What an image pipeline returns, in the order of the prompts and seeds."""

    images: list[Image]
    seeds: list[int]
    recipes: list[Recipe]
    timings: dict[str, float] = field(repr=False)  # milliseconds a stage
    request_id: str = ""
    axes: tuple[str | None, str | None] = (None, None)  # of a plot: across, and down
    notes: tuple[str, ...] = ()  # what was done otherwise than the call's words say

    def sheet(self) -> Image:
        """All of them side by side: with their seeds, or as the cells of the plot that was asked for."""
        prompts = [one.prompt for one in self.recipes]
        return plot.drawn(dict(enumerate(self.images)), self.seeds, prompts, *self.axes)

    def save(self, pattern: str | Path) -> list[Path]:
        """Writes them as PNG with their recipes; see `output_paths.paths` for the pattern. Returns where they are."""
        paths = output_paths.paths(pattern, self.seeds)
        for path, image, one in zip(paths, self.images, self.recipes, strict=True):
            output_paths.check_writable(path)
            recipe.save(image, one, path)
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels."""
        made = [one.model_dump(exclude_defaults=True) for one in self.recipes]
        told = {"seeds": self.seeds, "recipes": made, "timings": self.timings, "request_id": self.request_id}
        return {**told, **({"notes": list(self.notes)} if self.notes else {})}

    def __str__(self) -> str:
        seeds, (width, height) = ", ".join(map(str, self.seeds)), self.images[0].size
        count = f"{len(self.images)} images" if len(self.images) > 1 else "1 image"
        return f"{count} of {width} x {height}, seed {seeds}, {self.timings['total'] / 1000:.1f} s"


class ImagePipeline(StreamingPipeline[Images]):
    """One task: which of ImageParams' fields its call takes; the rest is common."""

    command_line = "mmgen.cli.image_commands:command"  # what makes its command, see mmgen.cli.commands
    task: str
    required: ClassVar[Collection[str]] = ("prompt",)
    omitted: ClassVar[Collection[str]] = ()  # fields that the call does not take
    defaults: ClassVar[Mapping[str, Any]] = {}  # where they are others than the fields' own
    helps: ClassVar[Mapping[str, str]] = {}  # likewise
    signature: ClassVar[Signature]

    def __init__(
        self,
        rt: Runtime,
        *,
        model: str | None = None,
        lora: Sequence[str] = (),
        embedding: Sequence[str] = (),
        vae: str | None = None,
        text_encoder: Sequence[str] = (),
        preview_vae: str | None = None,
        upscaler: str | None = None,
        control_model: Sequence[str] = (),
    ) -> None:
        """Opens nothing yet.

        model: what draws: embedded:NAME, a folder, a single safetensors file or a repo id.
        lora: LoRA files (LoCon, LoHa, LoKr, DoRA, OFT and whole differences too), each PATH or PATH@SCALE, or a repo id.
        embedding: files of textual inversion; the prompt says their words. Those in the home directory are found by name.
        vae: an autoencoder instead of the model's own: a safetensors file, or a folder in diffusers' format.
        text_encoder: for a single file without: files (CLIP-L, CLIP-G, T5-XXL) or folders of text encoders.
        preview_vae: shows unfinished images quickly: a TAESD decoder's file or folder, such as taef1_decoder.safetensors.
        upscaler: makes the images larger, or with hires what is drawn again: a file such as RealESRGAN_x4plus.safetensors.
        control_model: ControlNets by name, NAME=REFERENCE: folders, single safetensors files or repo ids.
        """
        self.rt, self.model, self.lora = rt, model, [lora] if isinstance(lora, str) else list(lora)
        self.vae, self.preview_vae, self.upscaler = vae, preview_vae, upscaler
        self.text_encoder = [text_encoder] if isinstance(text_encoder, str) else list(text_encoder)
        self.control_model = [control_model] if isinstance(control_model, str) else list(control_model)
        self.embedding = [embedding] if isinstance(embedding, str) else list(embedding)

    def __init_subclass__(cls, **options: Any) -> None:
        """Gives the task's `__call__` its signature and the help of its parameters."""
        super().__init_subclass__(**options)
        cls.signature = call_signature(cls.required, cls.omitted, cls.defaults)

        def call(self: ImagePipeline, *args: Any, **given: Any) -> Images:
            *_, last = self.stream(*args, **given)
            assert isinstance(last.value, Images)
            return last.value

        call.__signature__ = cls.signature  # type: ignore[attr-defined]
        call.params = image_params.ImageParams  # type: ignore[attr-defined]
        call.__doc__ = docstring(cls.signature, "Draws all of it.", cls.helps)
        if "__call__" not in vars(cls):
            cls.__call__ = call  # type: ignore[method-assign, assignment]

    def stream(self, *args: Any, **options: Any) -> Iterator[Event]:
        """The same call, step by step. Leaving it early cancels the request.

        Events: "start" with the seeds (of candidates: the first of every image), "note" with a text, "step" with a Progress,
        "preview" with a Preview, "image" with a FinishedImage, in the order in which they are finished, and at last "images"
        with all of them.
        """
        bound = self.signature.bind(*args, **options)
        bound.apply_defaults()
        given = dict(bound.arguments)
        request = given.pop("request")
        return self.draw(self.checked(given), request)

    def checked(self, given: Mapping[str, Any]) -> list[ImageParams]:
        """The call for each of its prompts. Raises BadRequest or TooLong for what cannot be drawn."""
        options = self.completed(dict(given))
        prompts = options.pop("prompt")
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        every = cells([ImageParams(**options, prompt=prompt) for prompt in prompts], self.signature.parameters)
        return image_checks.calls(every)

    def suit(self, client: ImageClient) -> None:
        """Raises BadRequest for a model that this task is not for."""
        if client.edits:
            raise BadRequest(f"{client.reference} edits images by instruction; use `mmgen edit`, or the pipeline edit")

    def completed(self, given: dict[str, Any]) -> dict[str, Any]:
        """The call's values, with what the task knows besides."""
        return given

    def draw(self, asked: Sequence[ImageParams], request: Request | None) -> Iterator[Event]:
        """Loads, draws, and says how each image was made."""
        asked = [prompt_files.with_loras(one, self.rt.home) for one in asked]
        learned = prompt_files.embeddings(self.embedding, asked, self.rt.home)
        request, clock, first = request or Request.new(), Clock(), asked[0]
        source = None if first.image is None else image_io.read(first.image)
        mask = None if first.mask is None else image_checks.mask(image_io.read(first.mask), source)
        further = tuple(image_io.read(one) for one in first.reference_image)
        asked = [replace(one, reference_image=further) for one in asked] if further else asked
        controls = control_images.opened(first.control, self.rt, self.control_model)  # type: ignore[arg-type]
        best = BestOf(self.rt, first.best_of) if first.best_of > 1 else None
        parts = self.vae, self.text_encoder, self.preview_vae, self.upscaler
        client = self.rt.denoiser(self.model, self.lora, *parts)
        clock.lap("load")
        self.suit(client)
        loras = tuple(dict.fromkeys(lora for one in asked for lora in one.loras))
        settled = [replace(one, loras=loras, embeddings=learned) for one in asked]
        settled = rows.settle(settled if first.x or first.y else settled[:1], client, source, mask, controls)
        for text in {text for one in asked for text in (one.prompt, one.negative)}:
            client.check_prompt(text)
        if client.conditional:
            image_checks.prompted([one.prompt for one in asked], client.reference)
        files: dict[str, Any] = {"image": part(first.image, source), "mask": part(first.mask, mask)}
        files["control"] = tuple(map(control_images.recorded, settled[0].controls))
        files["reference_image"] = tuple(map(part, first.reference_image, further))
        each = [n for n, one in enumerate(asked) for _ in range(one.n * one.best_of)]
        seeds = rows.seeds_of(asked)
        drawn = [
            replace(settled[n % len(settled)], prompt=asked[n].prompt, loras=asked[n].loras, seed=seed)
            for n, seed in zip(each, seeds, strict=True)
        ]
        yield Event("start", seeds[:: first.best_of])
        notes = tuple(dict.fromkeys(note for one in settled for note in client.notes(one)))
        yield from (Event("note", note) for note in notes)
        images: list[FinishedImage | None] = [None] * (len(drawn) // first.best_of)
        events = client.draw(drawn, request)
        for event in best.among(events, drawn) if best else events:
            if isinstance(event, Progress):
                yield Event("step", event)
            elif isinstance(event, Preview):
                yield Event("preview", event)
            elif isinstance(event, ImageDone):
                image, index = image_of(event.pixels), event.image // first.best_of
                made = self._recipe(client, drawn[event.image], image, files)
                if (box := drawn[event.image].region) is not None and source is not None and mask is not None:
                    image = only_masked.pasted(image, source, mask, box)
                if (left := event.cached) is not None:
                    made = made.model_copy(
                        update={"cached": RecipeCache(reused=left.reused, of=left.of, error=round(left.error, 4))}
                    )
                images[index] = finished = FinishedImage(index, image, made)
                yield Event("image", finished)
        clock.lap("draw")
        done = [one for one in images if one is not None]
        recipes = [one.recipe for one in done]
        seeds, axes = [one.seed for one in done], (first.x, first.y)
        result = Images([one.image for one in done], seeds, recipes, clock.laps(), request.id, axes, notes)
        yield Event("images", result)

    def _recipe(self, client: ImageClient, params: ImageParams, drawn: Image, files: Mapping[str, Any]) -> Recipe:
        options: dict[str, Any] = {one.name: getattr(params, one.name) for one in recipe.recorded()}
        size = drawn.size if params.hires is None and client.upscaler_path is None else params.size
        options |= {"width": size[0], "height": size[1], **files}
        loras = tuple(
            RecipeFile(file=str(one.path), sha256=lora_digest(one.path), scale=one.scale)
            for one in (*client.loras, *params.loras)
        )
        learned = tuple(RecipeFile(file=str(one), sha256=weight_files.file_digest(one)) for one in params.embeddings)
        return Recipe(
            task=self.task,
            model=client.reference,
            weights=client.weights,
            lora=loras,
            embedding=learned,
            vae=file_of(client.vae),
            upscaler=file_of(client.upscaler_path),
            super_resolution=own_file(client, client.enlarged_by(params)),
            text_encoder=tuple(RecipeFile(file=str(one), sha256=lora_digest(one)) for one in client.text_encoders),
            **options,
            versions=recipe.versions(),
            device=self.rt.device,
            precision=client.precision,
        )


def part(given: ImageSource | None, opened: Image | None) -> RecipeFile | None:
    """What the recipe remembers of an image that was given: its name, and the digest of its pixels."""
    if given is None or opened is None:
        return None
    return RecipeFile(file=image_io.name_of(given), sha256=image_io.digest(opened))


def file_of(path: Path | None) -> RecipeFile | None:
    return None if path is None else RecipeFile(file=str(path), sha256=lora_digest(path))


def own_file(client: ImageClient, path: Path | None) -> RecipeFile | None:
    """One of the model's own files, named within its folder."""
    if path is None:
        return None
    return RecipeFile(file=path.relative_to(client.folder).as_posix(), sha256=weight_files.file_digest(path))


def lora_digest(path: Path) -> str:
    return weight_files.digest(path) if path.is_dir() else weight_files.file_digest(path)


def recalled(image: Image) -> Recipe | None:
    """The recipe that an image brings along, if it does."""
    try:
        return recipe.of(image, "it")
    except UnreadableFile:
        return None
