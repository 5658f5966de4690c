"""The `mmgen` command itself: first screen, errors in one line, exit codes, and how little it imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from mmgen import __version__
from mmgen.cli.commands import OWN
from mmgen.cli.main import WAITING, main
from mmgen.errors import BadRequest
from mmgen.registry import Registry

HEAVY = ("torch", "transformers", "diffusers", "gradio", "faiss", "numpy", "sentence_transformers", "huggingface_hub")
MAIN = "from mmgen.cli.main import main; main()"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


def fails(rt: Any, how: str = "kindly") -> None:
    """Fails.

    how: kindly, badly, by Ctrl-C or by a closed pipe.
    """
    raise {
        "kindly": BadRequest("k is 0;\nit can be 1 to 100"),
        "badly": ZeroDivisionError("by zero"),
        "ctrl-c": KeyboardInterrupt(),
        "pipe": BrokenPipeError(32, "Broken pipe"),
    }[how]


def register(mm: Registry) -> None:
    mm.pipelines.add("fails", f"{__name__}:fails")
    mm.pipelines.add("gone", "no_such_module:gone", "Has [/brackets] in its line")


def test_alone_it_says_what_one_can_do_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    out = capsys.readouterr().out
    assert out.startswith(f"mmgen {__version__}: ") and 'mmgen rag ask "QUESTION"' in out and "mmgen doctor" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"mmgen {__version__}\n"


def test_help_lists_commands_and_pipelines_without_importing_them(
    plug: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    plug(tests=register)
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*OWN, "rag-text", "fails", "of plugin tests", "Has [/brackets] in its line"))


@pytest.mark.parametrize("name", OWN)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    assert f"mmgen {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rga", "add"), 'error: there is no command "rga" (did you mean "rag"?)'),
        (("rag-txt", "x"), 'error: there is no command "rag-txt" (did you mean "rag-text"?)'),
        (("zzz",), 'error: there is no command "zzz"; `mmgen --help` names them all'),
        (("rag", "aks"), "error: No such command 'aks'. Did you mean 'ask'"),
        (("doctor", "--jso"), "error: No such option: --jso (Possible options: --json); see `mmgen doctor --help`"),
        (("rag-text",), "error: Missing argument 'question'; see `mmgen rag-text --help`"),
        (("rag-text", "x", "-k", "many"), "error: Invalid value for '-k' / '--k': Input should be a valid integer"),
        (("rag-text", "x", "--grounding", "loose"), "error: Invalid value for '--grounding': 'loose' is not one of"),
        (("fails",), "error: k is 0; it can be 1 to 100"),
        (("gone",), 'error: pipeline "gone" of tests cannot be imported from no_such_module:gone'),
    ],
)
def test_mistakes_are_one_line(
    words: tuple[str, ...], told: str, plug: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    plug(tests=register)
    assert run(*words) == 2
    out, error = capsys.readouterr()
    assert error.startswith(told) and error.count("\n") == 1 and not out


def test_an_unknown_command_points_to_a_failed_plugin(plug: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    plug(pixel="no function")
    assert run("zzz") == 2
    assert "plugin pixel failed to load, see `mmgen plugins`" in capsys.readouterr().err


def test_what_is_not_the_users_fault_keeps_its_traceback(plug: Callable[..., None]) -> None:
    plug(tests=register)
    with pytest.raises(ZeroDivisionError):
        main(["fails", "--how", "badly"])


def test_ctrl_c_is_a_word(plug: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    plug(tests=register)
    assert run("fails", "--how", "ctrl-c") == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_closed_pipe_is_quiet(plug: Callable[..., None], capfd: pytest.CaptureFixture[str]) -> None:
    plug(tests=register)
    assert run("fails", "--how", "pipe") == 1
    assert capfd.readouterr() == ("", "")


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -c '{MAIN}' --help | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""


def test_a_real_ctrl_c() -> None:
    """A command that takes long is left by SIGINT."""
    slow = "import sys, time; import mmgen.cli.listings as lists; sys.argv[1:] = ['plugins'];"
    slow += "lists.registry = lambda: print('up', flush=True) or time.sleep(60);"
    process = subprocess.Popen([sys.executable, "-c", slow + MAIN], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error.strip() == "interrupted"


@pytest.mark.parametrize(
    "code", ["import mmgen", "import mmgen; mmgen.__version__", "import sys; sys.argv[1:] = ['--help']; " + MAIN, MAIN]
)
def test_light_imports(code: str) -> None:
    ending = f"import atexit, sys; atexit.register(lambda: print('HEAVY', [m for m in {HEAVY} if m in sys.modules]));"
    done = subprocess.run([sys.executable, "-c", ending + code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.rstrip().endswith("HEAVY []")


BARE_HELP = "import sys, typer; sys.argv[1:] = ['--help']; app = typer.Typer(); app.command()(lambda: None); app()"


@pytest.mark.parametrize(
    ("times", "than", "code"),
    [(1.0, "import typer", "import mmgen"), (2.0, BARE_HELP, "import sys; sys.argv[1:] = ['--help']; " + MAIN)],
)
def test_quick_to_start(times: float, than: str, code: str) -> None:
    """Processor seconds against those of a bare typer application in turn, the best of five: so neither a slow nor a busy
    machine matters, nor a cold disk."""
    pairs = [(cpu_seconds(code), cpu_seconds(than)) for _ in range(5)]
    assert min(ours for ours, _ in pairs) <= times * min(bare for _, bare in pairs)


def cpu_seconds(code: str) -> float:
    def spent() -> float:
        usage = os.times()
        return usage.children_user + usage.children_system

    before = spent()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True, timeout=60)
    return spent() - before


def test_threads_of_openmp_sleep_while_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the environment says how they should."""
    for name in ("OMP_WAIT_POLICY", *WAITING):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KMP_BLOCKTIME", "7")
    run("--version")
    assert (os.environ["GOMP_SPINCOUNT"], os.environ["KMP_BLOCKTIME"]) == ("1000", "7")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    run("--version")
    assert "GOMP_SPINCOUNT" not in os.environ
