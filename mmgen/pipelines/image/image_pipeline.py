"""What the image pipelines have in common: a checked call, its events, and the images with their recipes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from PIL.Image import Image

from mmgen import weight_files
from mmgen.clients.image_base import ImageDone, Order, Preview, Progress
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.pipelines.image import image_checks, image_io, recipe
from mmgen.pipelines.image.best_of import BestOf
from mmgen.pipelines.image.image_io import Given
from mmgen.pipelines.image.recipe import Recipe, RecipeFile
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.pipelines.timings import Clock

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient
    from mmgen.runtime import Runtime

P = ParamSpec("P")


@dataclass(frozen=True, eq=False)
class FinishedImage:
    """A finished image: the value of a "image" event."""

    index: int
    image: Image
    recipe: Recipe


@dataclass(frozen=True, eq=False)
class ImagePreview:
    """An image that is not finished: the value of a "preview" event."""

    index: int
    step: int
    of: int
    image: Image


@dataclass(frozen=True, eq=False)
class Images:
    """What an image pipeline returns, in the order of the prompts and seeds."""

    images: list[Image]
    seeds: list[int]
    recipes: list[Recipe]
    timings: dict[str, float] = field(repr=False)  # milliseconds a stage
    request_id: str = ""

    def save(self, pattern: str | Path) -> list[Path]:
        """Writes them as PNG with their recipes; see `recipe.places` for the pattern. Returns where they are."""
        paths = recipe.places(pattern, self.seeds)
        for path, image, one in zip(paths, self.images, self.recipes, strict=True):
            recipe.check_writable(path)
            recipe.save(image, one, path)
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pixels."""
        made = [one.model_dump(exclude_defaults=True) for one in self.recipes]
        return {"seeds": self.seeds, "recipes": made, "timings": self.timings, "request_id": self.request_id}

    def __str__(self) -> str:
        seeds, (width, height) = ", ".join(map(str, self.seeds)), self.images[0].size
        count = f"{len(self.images)} images" if len(self.images) > 1 else "1 image"
        return f"{count} of {width} x {height}, seed {seeds}, {self.timings['total'] / 1000:.1f} s"


@dataclass(frozen=True, eq=False)
class ImageCallPlan:
    """A checked call."""

    prompts: Sequence[str]
    order: Order  # of every image, but for its prompt and seed
    n: int  # images a prompt
    seed: int | None
    request: Request | None
    image: Given | None = None
    mask: Given | None = None
    best_of: int = 1  # candidates an image


class ImagePipeline(StreamingPipeline[Images]):
    """One task: `asked` turns a call into orders, the rest is common."""

    command_line = "mmgen.cli.image_commands:command"  # what makes its command, see mmgen.cli.commands
    task: str

    def __init__(self, rt: Runtime, *, model: str | None = None, lora: Sequence[str] = ()) -> None:
        """Opens nothing yet.

        model: what draws: embedded:NAME, a folder or a repo id.
        lora: LoRA files in the model's weights, each PATH or PATH@SCALE.
        """
        self.rt, self.model, self.lora = rt, model, [lora] if isinstance(lora, str) else list(lora)

    asked: Callable[..., ImageCallPlan]
    """The call's parameters, checked. Each task has its own."""

    def stream(self, *args: Any, **options: Any) -> Iterator[Event]:
        """The same call, step by step. Leaving it early cancels the request.

        Events: "start" with the seeds (of candidates: the first of every image), "step" with a Progress, "preview" with an
        Early, "image" with a Image, in the order in which they are finished, and at last "images" with all of them.
        """
        return self.draw(self.asked(*args, **options))

    def draw(self, asked: ImageCallPlan) -> Iterator[Event]:
        """Loads, draws, and says how each image was made."""
        request, clock = asked.request or Request.new(), Clock()
        source = None if asked.image is None else image_io.read(asked.image)
        mask = None if asked.mask is None else image_checks.mask(image_io.read(asked.mask), source)
        best = BestOf(self.rt, asked.best_of) if asked.best_of > 1 else None
        client = self.rt.denoiser(self.model, self.lora)
        clock.lap("load")
        order = client.settled(started(asked.order, client, source, mask))
        if client.conditional:
            image_checks.prompted(asked.prompts, client.reference)
        parts = part(asked.image, source), part(asked.mask, mask)
        prompts = [prompt for prompt in asked.prompts for _ in range(asked.n * asked.best_of)]
        seeds = seeds_from(asked.seed, len(prompts))
        orders = [replace(order, prompt=prompt, seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        yield Event("start", seeds[:: asked.best_of])
        images: list[FinishedImage | None] = [None] * (len(orders) // asked.best_of)
        events = client.draw(orders, request)
        for event in best.among(events, orders) if best else events:
            if isinstance(event, Progress):
                yield Event("step", event)
            elif isinstance(event, Preview):
                yield Event("preview", ImagePreview(event.image, event.step, event.of, image_io.image_of(event.pixels)))
            elif isinstance(event, ImageDone):
                pixels, index = image_io.image_of(event.pixels), event.image // asked.best_of
                made = self._recipe(client, orders[event.image], pixels, *parts)
                images[index] = finished = FinishedImage(index, pixels, made)
                yield Event("image", finished)
        clock.lap("draw")
        done = [one for one in images if one is not None]
        recipes = [one.recipe for one in done]
        drawn = Images([one.image for one in done], [r.seed for r in recipes], recipes, clock.laps(), request.id)
        yield Event("images", drawn)

    def _recipe(
        self, client: ImageClient, order: Order, drawn: Image, image: RecipeFile | None, mask: RecipeFile | None
    ) -> Recipe:
        return Recipe(
            task=self.task,
            model=client.reference,
            weights=client.weights,
            lora=tuple(RecipeFile(file=str(one.path), sha256=lora_digest(one.path), scale=one.scale) for one in client.loras),
            prompt=order.prompt,
            negative=order.negative,
            seed=order.seed,
            solver=order.solver,
            steps=order.steps,
            guidance=order.guidance,
            guidance_rescale=order.guidance_rescale,
            width=drawn.width,
            height=drawn.height,
            strength=order.strength,
            image=image,
            mask=mask,
            versions=recipe.versions(),
            device=self.rt.device,
        )


def called(asked: Callable[Concatenate[Any, P], ImageCallPlan]) -> Callable[Concatenate[Any, P], Images]:
    """A `__call__` with the parameters of `asked`: draws all of it."""

    @wraps(asked)
    def call(self: ImagePipeline, *args: P.args, **options: P.kwargs) -> Images:
        *_, last = self.draw(asked(self, *args, **options))
        assert isinstance(last.value, Images)
        return last.value

    return call


def started(order: Order, client: ImageClient, source: Image | None, mask: Image | None) -> Order:
    """The order with its image and mask as tensors, in the size that was asked for or else suits the model."""
    if source is None:
        return order
    width, height = client.fit(*source.size)
    size = (order.width or width, order.height or height)
    return replace(
        order,
        width=size[0],
        height=size[1],
        image=image_io.colours(source, size),
        mask=None if mask is None else image_io.mask(mask, size),
    )


def seeds_from(seed: int | None, count: int) -> list[int]:
    """`seed` and its successors; without one a short one is drawn."""
    first = secrets.randbelow(2**32) if seed is None else seed
    if first + count > 2**63:
        raise BadRequest(f"seed is {first}; with {count} images it can be 0 to {2**63 - count}")
    return list(range(first, first + count))


def part(given: Given | None, opened: Image | None) -> RecipeFile | None:
    """What the recipe remembers of an image that was given: its name, and the digest of its pixels."""
    if given is None or opened is None:
        return None
    return RecipeFile(file=image_io.name_of(given), sha256=image_io.digest(opened))


def lora_digest(path: Path) -> str:
    return weight_files.digest(path) if path.is_dir() else weight_files.file_digest(path)


def recalled(image: Image) -> Recipe | None:
    """The recipe that an image brings along, if it does."""
    try:
        return recipe.of(image, "it")
    except UnreadableFile:
        return None
