"""Commands of the text pipelines: their options, printed while they are written; `mmgen chat` without a message talks on."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from mmgen.cli.from_signature import option, said_by_caller, shown
from mmgen.cli.output import print_json
from mmgen.cli.rag import questions
from mmgen.errors import BadRequest, MmgenError
from mmgen.pipelines import signature
from mmgen.serve import command_client

if TYPE_CHECKING:
    from mmgen.pipelines.language.text_pipeline import Completion, Delta, TextPipeline
    from mmgen.serve.command_client import ServedPipeline

TOOLED = frozenset({"tools", "mcp", "allow", "store", "image_model"})
"""Options of a chat with tools, see mmgen.cli.assistant."""
SAID = {"prompt": "How the text begins; - reads it from standard input.",
        "message": "What to say; - reads it from standard input, and without one the conversation goes on."}  # fmt: skip


def command(name: str, made: Any) -> Callable[..., None]:
    """A function that Typer can turn into a command, for a pipeline class as `pipelines.language.text_pipeline` has them."""
    described = signature.read(name, made)
    first = next(parameter.name for parameter in described.parameters if parameter.required)
    options = [option(parameter) for parameter in described.parameters if parameter.name != first and shown(name, parameter)]
    nothing: Any = ... if first == "prompt" else None
    options.append(_own(first, str | None, typer.Argument(nothing, help=SAID[first])))
    plot = typer.Option(None, "--attention", help="Draw what looked where, layers by heads, to this PNG.")
    options.append(_own("attention", Path | None, plot))
    chats = first == "message"
    if chats:
        shown_to = typer.Option([], "--image", help="An image that the message is about; may be given several times.")
        options.append(_own("image", list[Path], shown_to))
        options += tool_options()
    options.append(_own("as_json", bool, typer.Option(False, "--json", help="Print JSON.")))
    alone = typer.Option(False, "--local", help="Load the model here, even where `mmgen serve` of this home runs.")
    options.append(_own("local", bool, alone))
    making = {p.name for p in described.parameters if p.stage == "make"}

    def run(**given: Any) -> None:
        context: typer.Context = given.pop("context")
        begun, as_json, attention, local = (given.pop(key) for key in (first, "as_json", "attention", "local"))
        images = given.pop("image") if chats else []
        values = {key: value for key, value in given.items() if value is not None and said_by_caller(context, key)}
        if values.keys() & TOOLED:
            from mmgen.cli.assistant import converse

            if images or attention is not None:
                raise BadRequest("--image and --attention are of a chat without tools; leave them out, or --tools and --mcp")
            converse(begun, values, Path(), as_json, local)
            return
        options = {key: value for key, value in values.items() if key not in making}
        if attention is not None:
            from mmgen.pipelines.image import output_paths

            output_paths.check_png(attention)  # told before a model is loaded
        with ExitStack() as stack:
            made_with = {key: value for key, value in values.items() if key in making}
            here = partial(opened, name, made_with, stack)
            writer = here() if local or attention is not None else command_client.opened(name, made, made_with, here)
            if begun is None:
                talk(writer, options, as_json, images)
                return
            said = sys.stdin.read() if begun == "-" else begun
            result = say(writer, [_message(said, images)] if images else said, options, as_json)
            if attention is not None:
                draw(writer, result, attention)

    run.__doc__ = escape(described.text)
    options.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


def tool_options() -> list[inspect.Parameter]:
    """Of a chat with tools; what they say stands in `mmgen assistant --help` at length."""
    kinds: dict[str, tuple[Any, str]] = {
        "tools": (
            list[str],
            "Tools that it may use: docs, images, draw, calc, fetch, mcp, with commas between; see mmgen assistant.",
        ),
        "mcp": (list[str], "A Model Context Protocol server, as a URL or a command; can be given several times."),
        "allow": (list[str], "A tool that runs without asking first."),
        "store": (str, "With tools: name or path of the store."),
        "image_model": (str, "With tools: what draws."),
    }
    return [
        _own(name, kind | None, typer.Option(None, f"--{name.replace('_', '-')}", help=said))
        for name, (kind, said) in kinds.items()
    ]


def opened(name: str, making: Mapping[str, Any], stack: ExitStack) -> TextPipeline[Any]:
    """The pipeline in this process, on a runtime that `stack` closes."""
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    writer: TextPipeline[Any] = pipeline(name, runtime=stack.enter_context(Runtime()), **making)
    return writer


def say(made: TextPipeline[Any] | ServedPipeline, begun: Any, options: Mapping[str, Any], as_json: bool) -> Completion:
    """One text is printed as it is written, several when they are done."""
    alone = not as_json and options.get("n", 1) == 1
    for event in made.stream(begun, **options):
        if event.kind == "text":
            if alone:
                show(event.value)
        elif event.kind == made.last:
            result: Completion = event.value
    if as_json:
        print_json(result)
    else:
        typer.echo("" if alone else str(result))
    return result


def show(delta: Delta) -> None:
    """More of the answer; what the model thinks before it goes to where errors go, and paler."""
    if delta.reasoning:
        typer.secho(delta.reasoning, dim=True, err=True, nl=False)
    typer.echo(delta.text, nl=False)
    sys.stdout.flush()


def talk(
    made: TextPipeline[Any] | ServedPipeline, options: Mapping[str, Any], as_json: bool, images: Sequence[Path] = ()
) -> None:
    """A message after another, each with all that was said before. A mistake is told and costs its own message alone.

    `images`: what the first message is about.
    """
    messages: list[Mapping[str, Any]] = []
    if sys.stdin.isatty():
        typer.echo("Say something; an empty line ends.")
    for said in questions():
        if not sys.stdin.isatty():  # whoever reads the answers did not see the messages
            typer.echo(f"\n> {said.strip()}")
        try:
            reply: Any = say(made, [*messages, _message(said, () if messages else images)], options, as_json)
            messages = list(reply.messages)
        except MmgenError as error:
            typer.echo(f"error: {error}", err=True)


def _message(said: str, images: Sequence[Path]) -> dict[str, Any]:
    from mmgen.pipelines.language import content_parts

    return {"role": "user", "content": content_parts.with_images(said, images)}


def draw(made: TextPipeline[Any], result: Completion, path: Path) -> None:
    """The attention of the first text and its prompt."""
    from mmgen.pipelines.language.attention_plot import read_again

    client = made.rt.text(made.reference, made.draft)
    adapter = None if made.adapter is None else client.adapt(made.adapter)
    read_again(client, result.prompt + result.text, adapter).save(path)
    typer.echo(str(path), err=True)


def _own(name: str, kind: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=kind)
