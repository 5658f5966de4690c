"""`mmgen assistant`, and `mmgen chat --tools`: a conversation with tools; every step is told, and what writes or sends asks."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from mmgen.cli.from_signature import option, said_by_caller, shown
from mmgen.cli.output import print_json
from mmgen.cli.rag import questions
from mmgen.errors import BadRequest, MmgenError, nearest
from mmgen.pipelines import signature
from mmgen.serve import command_client

if TYPE_CHECKING:
    from mmgen.pipelines.agent.reply import AssistantReply
    from mmgen.pipelines.agent.tool import AssistantCall, ShownImage
    from mmgen.pipelines.streaming import Event

SAID = "What to say; - reads it from standard input, and without one the conversation goes on."


def command(name: str, made: Any) -> Callable[..., None]:
    """A function that Typer can turn into a command."""
    described = signature.read(name, made)
    options = [option(one) for one in described.parameters if one.name != "message" and shown(name, one)]
    options.append(_own("message", str | None, typer.Argument(None, help=SAID)))
    options += own_options()

    def run(context: typer.Context, message: str | None, out: Path, as_json: bool, local: bool, **given: Any) -> None:
        values = {key: value for key, value in given.items() if value is not None and said_by_caller(context, key)}
        converse(message, values, out, as_json, local)

    run.__doc__ = escape(described.text)
    options.append(inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in options}
    return run


def own_options() -> list[inspect.Parameter]:
    return [
        _own("out", Path, typer.Option(Path(), help="Folder for images.")),
        _own("as_json", bool, typer.Option(False, "--json", help="Print JSON.")),
        _own(
            "local",
            bool,
            typer.Option(False, "--local", help="Load the models here, even where `mmgen serve` of this home runs."),
        ),
    ]


def converse(begun: str | None, values: Mapping[str, Any], out: Path, as_json: bool, local: bool) -> None:
    """A message, or one after another until an empty line. Raises BadRequest for an option that the assistant has not."""
    from mmgen.pipelines.assistant import Assistant

    parameters = {one.name: one.stage for one in signature.read("assistant", Assistant).parameters}
    for key in values:
        if key not in parameters:
            raise BadRequest(f"the assistant has no option {key}{nearest(key, list(parameters))}; leave it out, or --tools")
    making = {key: value for key, value in values.items() if parameters[key] == "make"}
    options = {key: value for key, value in values.items() if parameters[key] == "call"}
    commands = [one for one in making.get("mcp", ()) if not one.lower().startswith(("http://", "https://"))]
    with ExitStack() as stack:
        here = partial(opened, making, stack)
        alone = local or bool(commands)  # a command is run here, in this folder
        made = here() if alone else command_client.at_server("assistant", kinds(), making, here)
        if begun is not None:
            said = sys.stdin.read() if begun == "-" else begun
            answer(made, [{"role": "user", "content": said}], options, out, as_json)
            return
        talk(made, options, out, as_json)


def kinds() -> dict[str, Any]:
    """Of the events that are printed, the types of their values."""
    from mmgen.pipelines.agent.reply import AssistantReply, AssistantStep
    from mmgen.pipelines.agent.tool import AssistantCall, ShownImage
    from mmgen.pipelines.language.text_pipeline import Delta

    return {
        "call": AssistantCall, "confirm": AssistantCall, "image": ShownImage, "result": AssistantStep, "note": str,
        "text": Delta, "reply": AssistantReply,
    }  # fmt: skip


def opened(making: Mapping[str, Any], stack: ExitStack) -> Any:
    """The pipeline in this process, on a runtime that `stack` closes."""
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    made = pipeline("assistant", runtime=stack.enter_context(Runtime()), **making)
    stack.callback(made.close)
    return made


def talk(made: Any, options: Mapping[str, Any], out: Path, as_json: bool) -> None:
    """A message after another, each with all that was said before. A mistake is told and costs its own message alone."""
    messages: list[Mapping[str, Any]] = []
    if sys.stdin.isatty():
        typer.echo("Say something; an empty line ends.")
    for said in questions():
        if not sys.stdin.isatty():
            typer.echo(f"\n> {said.strip()}")
        try:
            reply = answer(made, [*messages, {"role": "user", "content": said}], options, out, as_json)
            messages = list(reply.messages)
        except MmgenError as error:
            typer.echo(f"error: {error}", err=True)


def answer(
    made: Any, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any], out: Path, as_json: bool
) -> AssistantReply:
    """One turn, and where calls wait for a word and the user gives it, the turn with them."""
    reply = printed(made.stream(messages, **options), out, as_json)
    approved = [{"tool": call.tool, "arguments": dict(call.arguments)} for call in reply.pending if allowed(call)]
    if approved:
        reply = printed(made.stream(reply.messages, **options, approved=approved), out, as_json)
    if as_json:
        print_json(reply)
    return reply


def allowed(call: AssistantCall) -> bool:
    """What the user says; where nobody can be asked, no."""
    told = f"{call.tool} {dict(call.arguments)}: {call.asks}."
    if not sys.stdin.isatty():
        typer.echo(f"not called: {told} Allow it with --allow {call.tool}", err=True)
        return False
    return typer.confirm(f"{told} Call it?", default=False, err=True)


def printed(events: Iterator[Event], out: Path, as_json: bool) -> AssistantReply:
    """Text to standard output as it comes, steps to where errors go; images become files."""
    for event in events:
        if event.kind == "call":
            given = ", ".join(f"{name}: {str(value)[:100]}" for name, value in event.value.arguments.items())
            typer.secho(f"{event.value.tool} ({given})", dim=True, err=True)
        elif event.kind == "result":
            step = event.value
            typer.secho(f"  {step.error or step.summary}, {step.ms / 1000:.1f} s", dim=True, err=True)
        elif event.kind == "note":
            typer.secho(event.value, dim=True, err=True)
        elif event.kind == "image":
            typer.echo(f"image: {saved(event.value, out)}", err=as_json)
        elif event.kind == "text" and not as_json:
            typer.echo(event.value.text, nl=False)
            sys.stdout.flush()
        elif event.kind == "reply":
            reply: AssistantReply = event.value
    if not as_json:
        typer.echo("")
        for number, citation in enumerate(reply.citations, 1):
            typer.echo(f'  [{number}] "{citation.quote}" - {citation}')
    return reply


def saved(image: ShownImage, out: Path) -> Path:
    """Where it lies; one that was found is named after its file. Raises BadRequest where nothing can be written."""
    from mmgen.pipelines.image import output_paths

    suffix = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}[image.kind]
    stem = Path(image.name.replace("/", "-").replace("\\", "-")).stem.strip(". ")[:80] or "image"
    path, number = out / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = out / f"{stem}-{number}{suffix}"
    output_paths.write_whole(path, image.bytes)
    return path


def _own(name: str, kind: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=kind)
