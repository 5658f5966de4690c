"""Commands of the image pipelines: their own options, and where the images go, with a progress bar and previews."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from mmgen.cli.from_signature import option, shown
from mmgen.cli.output import print_json
from mmgen.cli.terminal_image import show_image
from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.image_events import Progress
from mmgen.pipelines import signature
from mmgen.pipelines.event_json import DrawnFile, DrawnFiles
from mmgen.pipelines.signature import Signature
from mmgen.serve import command_client

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmgen.pipelines.image.image_pipeline import FinishedImage, ImagePipeline
    from mmgen.pipelines.streaming import Event

KINDS = {"start": list[int], "note": str, "step": Progress, "image": DrawnFile, "images": DrawnFiles}
"""Events that a command reads, as a server sends them."""
VERBATIM = ("model", "lora", "embedding", "text_encoder")
"""Options that stand in a recipe as they were given."""


@dataclass(frozen=True)
class ImageOutput:
    """What becomes of the images."""

    pattern: str
    preview: bool
    as_json: bool
    animate: str | None = None  # a pattern, as the images have one
    sheet: Path | None = None

    def check(self) -> None:
        """Raises BadRequest for what cannot be written, before a model is loaded."""
        from mmgen.pipelines.image import animation, output_paths

        output_paths.check_writable(*output_paths.paths(self.pattern, [0]))
        if self.animate is not None:
            output_paths.check_writable(*output_paths.paths(self.animate, [0], animation.FORMATS))
        if self.sheet is not None:
            output_paths.check_png(self.sheet)

    def write(self, image: FinishedImage | DrawnFile, path: Path) -> None:
        image.save(path)
        if self.preview:
            show_image(image.image, err=self.as_json)
        self.tell(path, f" (seed {image.seed})")

    def tell(self, path: Path, more: str = "") -> None:
        if not self.as_json:
            typer.echo(f"{path}{more}")


class DrawnSoFar:
    """The images of a call while they are drawn, for its sheet and its animations; `given`: the call's options."""

    def __init__(self, output: ImageOutput, given: Mapping[str, Any]) -> None:
        self.output = output
        self.axes = given.get("x"), given.get("y")
        prompt = given.get("prompt") or ""
        self.prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        self.seeds: list[int] = []
        self.images: dict[int, Image] = {}
        self.frames: dict[int, list[Image]] = {}

    def paths(self) -> list[Path]:
        """Of the images; of candidates only at the end it is known which seeds they have."""
        from mmgen.pipelines.image import output_paths

        return output_paths.paths(self.output.pattern, self.seeds)

    def take(self, event: Event) -> None:
        """Writes an image as soon as it is done."""
        if event.kind == "start":
            self.seeds = list(event.value)
        elif event.kind == "preview" and self.output.animate is not None:
            self.frames.setdefault(event.value.index, []).append(event.value.image)
        elif event.kind == "image":
            self.seeds[event.value.index] = event.value.seed
            self.images[event.value.index] = event.value.image
            self.output.write(event.value, self.paths()[event.value.index])

    def finish(self) -> None:
        """Writes the sheet and the animations of what is done, all of it or not."""
        from mmgen.pipelines.image import animation, contact_sheet, output_paths, plot

        where = self.output.sheet
        if where is None and any(self.axes) and self.images:
            first = self.paths()[0]
            where = first.with_name(f"plot-{first.name}")
        if where is not None and self.images:
            contact_sheet.save(plot.drawn(self.images, self.seeds, self.prompts, *self.axes), where)
            self.output.tell(where)
        if self.output.animate is not None:
            moving = output_paths.paths(self.output.animate, self.seeds, animation.FORMATS)
            for number, frames in self.frames.items():
                if number in self.images:
                    animation.save([*frames, self.images[number]], moving[number])
                    self.output.tell(moving[number])
            if self.images and not self.frames:
                raise BadRequest("there is no animation: this model shows no unfinished images, or drew one step alone")


def command(name: str, made: Any) -> Callable[..., None]:
    """A function that Typer can turn into a command, for a pipeline class as `pipelines.image.image_pipeline` has them."""
    described = signature.read(name, made)
    options = [option(parameter) for parameter in described.parameters if shown(name, parameter)]
    many = any(parameter.name == "prompt" and parameter.required for parameter in described.parameters)
    if many:
        say = typer.Argument(None, help="What to draw; - reads it from standard input.")
        options = [one.replace(default=say, annotation=str | None) if one.name == "prompt" else one for one in options]
        options.append(_own("prompts", Path | None, None, "--prompts", "A file with a prompt on every line; - reads them too."))
    where = "A file, a pattern such as out-{seed}.png or out-{n}.png, or a folder."
    options.append(_own("pattern", str, f"{name}-{{seed}}.png", "-o", "--output", where))
    steps = "The progress of every image as an animation: a file or pattern that ends with .gif, .webp or .apng."
    options.append(_own("animate", str | None, None, "--animate", steps))
    sheet = "All images on one PNG: with their seeds, or as the X/Y plot of --x and --y."
    options.append(_own("sheet", Path | None, None, "--sheet", sheet))
    options.append(_own("preview", bool, False, "--preview", "Show the images in the terminal, in 24-bit colour."))
    options.append(_own("as_json", bool, False, "--json", "Print JSON."))
    options.append(_own("local", bool, False, "--local", "Load the model here, even where `mmgen serve` of this home runs."))

    def run(**given: Any) -> None:
        output = ImageOutput(*(given.pop(name) for name in ("pattern", "preview", "as_json", "animate", "sheet")))
        local = given.pop("local") or output.preview or output.animate is not None  # a server decodes no previews for a command
        values = {key: value for key, value in given.items() if value is not None}
        if output.animate is not None:
            values["preview_every"] = values.get("preview_every") or 1
        if many:
            values["prompt"] = _prompts(values.get("prompt"), values.pop("prompts", None))
        execute(described, values, output, local)

    run.__doc__ = escape(described.text)
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


def execute(described: Signature, given: Mapping[str, Any], output: ImageOutput, local: bool = False) -> None:
    """Draws, and writes every image as soon as it is done. What an interrupt leaves behind is whole.

    `local`: in this process, also where a server of this home could.
    """
    output.check()
    making = {p.name for p in described.parameters if p.stage == "make"}
    options = {key: value for key, value in given.items() if key in making}
    drawn = DrawnSoFar(output, given)
    with ExitStack() as stack:
        here = partial(opened, described.name, options, stack)
        made: Any = here() if local else command_client.at_server(described.name, KINDS, options, here, VERBATIM)
        events = made.stream(**{key: value for key, value in given.items() if key not in making})
        try:
            with closing(events), progress_bar(quiet=output.as_json) as bar:
                for event in events:
                    drawn.take(event)
                    if event.kind == "start":
                        bar.begin(len(drawn.seeds))
                    elif event.kind == "note":
                        typer.secho(f"note: {event.value}", fg=typer.colors.YELLOW, err=True)
                    elif event.kind == "step":
                        bar.advance(event.value)
                    elif event.kind == "preview" and output.preview:
                        show_image(event.value.image, err=output.as_json)
                    elif event.kind == "images":
                        result = event.value
        finally:
            drawn.finish()
    if output.as_json:
        print_json({"files": [str(path) for path in drawn.paths()], **result.to_dict()})


def opened(name: str, making: Mapping[str, Any], stack: ExitStack) -> ImagePipeline:
    """The pipeline in this process, on a runtime that `stack` closes."""
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    drawing: ImagePipeline = pipeline(name, runtime=stack.enter_context(Runtime()), **making)
    return drawing


def _prompts(prompt: str | None, file: Path | None) -> str | list[str]:
    """From the argument or the file, one of the two."""
    if (prompt is None) == (file is None):
        raise BadRequest("there is no prompt; say what to draw" if file is None else "give a prompt or --prompts, not both")
    if file is None:
        assert prompt is not None
        return sys.stdin.read() if prompt == "-" else prompt
    try:
        text = sys.stdin.read() if str(file) == "-" else file.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"{file} does not exist; give a text file with a prompt on every line") from None
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(f"{file} cannot be read ({why}); it should be a text file in UTF-8") from None
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise BadRequest(f"{file} holds no prompt; write one on every line")
    return found


def _own(name: str, kind: Any, default: Any, *names_and_help: str) -> inspect.Parameter:
    *names, text = names_and_help
    info = typer.Option(default, *names, help=text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=kind)


class ProgressBar:
    """How much of all steps of all images is done."""

    def __init__(self, progress: Any) -> None:
        self.progress, self.done, self.images = progress, {}, 0  # type: ignore[var-annotated]
        self.task = progress.add_task("loading", total=None)

    def begin(self, images: int) -> None:
        self.images = images
        self.progress.update(self.task, description="drawing")

    def advance(self, step: Progress) -> None:
        self.done[step.image] = step.step
        self.progress.update(self.task, total=self.images * step.of, completed=sum(self.done.values()))


@contextmanager
def progress_bar(quiet: bool) -> Iterator[ProgressBar]:
    """On a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn())
    off = quiet or not console.is_terminal
    redirect = sys.stdout.isatty()  # what goes into a pipe stays there
    with Progress(*columns, console=console, transient=True, disable=off, redirect_stdout=redirect) as progress:
        yield ProgressBar(progress)
