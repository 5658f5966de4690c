"""The `mmgen` command: top-level help and error handling. An MmgenError prints as one line, without a traceback."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from mmgen.cli.commands import CommandGroup
from mmgen.errors import MmgenError

FIRST = """\
mmgen {version}: text and image generation and retrieval; all models share one device. First steps:

  mmgen rag add PATH...        index your documents: files or folders
  mmgen rag ask "QUESTION"     ask them; answers quote the documents, or say that they do not answer
  mmgen rag chat               ask several questions interactively
  mmgen txt2img "A RED APPLE"  generate an image
  mmgen web                    the web UI

  mmgen models                 the models on this machine
  mmgen pipelines              pipelines, for the command line and Python
  mmgen doctor                 check this installation

`mmgen --help` names every command, `mmgen COMMAND --help` explains one."""

FEWER_COLLECTIONS = 100_000
"""Objects between two runs of the garbage collector: the default of 700 costs an eighth of what importing torch takes."""

WAITING = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""How OpenMP's threads wait for each other: they look for some ten microseconds, then sleep. By default they hold their
processors for milliseconds, which costs nothing alone and makes work beside other busy processes up to twice as long."""

app = typer.Typer(cls=CommandGroup, context_settings={"help_option_names": ["--help", "-h"]})


@app.callback(invoke_without_command=True)
def first(ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Text and image generation and retrieval; all models share one device through one scheduler."""
    from mmgen import __version__

    if version:
        typer.echo(f"mmgen {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(FIRST.format(version=__version__))


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 success, 1 partial success, 2 user error, 130 interrupted."""
    gc.set_threshold(FEWER_COLLECTIONS, *gc.get_threshold()[1:])
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.update(WAITING | os.environ)  # read once, when torch loads it
    try:
        code = get_command(app).main(args, prog_name="mmgen", standalone_mode=False)
        if code == 130:  # typer's exit code for Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
    except MmgenError as error:
        code = say(str(error), 2)
    except typer.TyperException as error:
        code = say(usage(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = say("interrupted", 130, prefix="")
    except BrokenPipeError:  # the reader of a pipe closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code or 0)


def say(message: str, code: int, prefix: str = "error: ") -> int:
    """One line on stderr."""
    line = " ".join(message.split())
    if line:
        print(f"{prefix}{line}", file=sys.stderr)
    return code


def usage(error: typer.TyperException) -> str:
    """A usage error with a pointer to --help. Empty for a group without a command, whose help was printed."""
    context = getattr(error, "ctx", None)
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if not message or context is None:
        return message
    return f"{message}; see `{context.command_path} --help`"
