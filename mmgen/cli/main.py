"""The `mmgen` command: top-level help and error handling. An MmgenError prints as one line, without a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from mmgen.cli.commands import CommandGroup
from mmgen.errors import MmgenError

FIRST = """\
mmgen {version}: generation and retrieval, all models on one device. What you can do first:

  mmgen rag add PATH...        read your documents: files or folders
  mmgen rag ask "QUESTION"     ask them; the answer quotes them, or says that it is not there
  mmgen rag chat               one question after another
  mmgen txt2img "A RED APPLE"  draw an image
  mmgen web                    both in a browser

  mmgen models                 the models on this machine
  mmgen pipelines              what can be called, from here and from Python
  mmgen doctor                 check this installation

`mmgen --help` names every command, `mmgen COMMAND --help` explains one."""

app = typer.Typer(cls=CommandGroup, context_settings={"help_option_names": ["--help", "-h"]})


@app.callback(invoke_without_command=True)
def first(ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Generation and retrieval: every model takes its turns on one device under one scheduler."""
    from mmgen import __version__

    if version:
        typer.echo(f"mmgen {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(FIRST.format(version=__version__))


def main(args: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 done in part, 2 a mistake that the caller can fix, 130 interrupted."""
    try:
        code = get_command(app).main(args, prog_name="mmgen", standalone_mode=False)
        if code == 130:  # how typer tells of Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()
    except MmgenError as error:
        code = say(str(error), 2)
    except typer.TyperException as error:
        code = say(usage(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = say("interrupted", 130, prefix="")
    except BrokenPipeError:  # whoever read our output has seen enough
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
    """What was wrong with the arguments, and where to read on. Empty for a group without a command: its help was printed."""
    context = getattr(error, "ctx", None)
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    if not message or context is None:
        return message
    return f"{message}; see `{context.command_path} --help`"
