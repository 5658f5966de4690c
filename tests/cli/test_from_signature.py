"""Commands from signatures: types, choices, flags, lists, and what they print."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from mmgen.cli.from_signature import command, command_type
from mmgen.cli.main import main
from mmgen.errors import PluginError
from mmgen.registry import Registry


@dataclass
class Result:
    given: dict[str, Any]

    def __str__(self) -> str:
        return f"{len(self.given)} given"


def everything(
    rt: Any,
    words: Sequence[str],
    k: int = 5,
    scale: float | None = None,
    style: Literal["flat", "deep"] = "flat",
    loud: bool = False,
    safe: bool = True,
    out_file: Path | None = None,
    where: Sequence[str] | Mapping[str, int] = (),
    sizes: list[int] = [1, 2],  # noqa: B006
    callback: Callable[[], None] | None = None,
    request: Any = None,
) -> Result:
    """Takes everything.

    words: what to say [again].
    style: flat or deep.
    """
    given = {name: value for name, value in locals().items() if name != "rt"}
    return Result(given)


class Counter:
    """Counts from somewhere.

    start: where from.
    """

    closed: list[int] = []  # noqa: RUF012

    def __init__(self, rt: Any, *, start: int = 0) -> None:
        self.start = start

    def __call__(self, by: int) -> int:
        """by: how far."""
        if by < 0:
            raise ZeroDivisionError
        return self.start + by

    def close(self) -> None:
        self.closed.append(self.start)


def quiet(rt: Any) -> None:
    """Returns nothing."""


def register(mm: Registry) -> None:
    mm.pipelines.add("everything", f"{__name__}:everything")
    mm.pipelines.add("counter", f"{__name__}:Counter")
    mm.pipelines.add("quiet", f"{__name__}:quiet")


@pytest.fixture
def run(plug: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    plug(tests=register)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, error = capsys.readouterr()
        assert not ended.value.code, error
        return out

    return run


def test_defaults(run: Callable[..., str]) -> None:
    given = json.loads(run("everything", "a", "b", "--json"))["given"]
    assert given == {
        "words": ["a", "b"], "k": 5, "scale": None, "style": "flat", "loud": False, "safe": True,
        "out_file": None, "where": [], "sizes": [1, 2], "callback": None, "request": None,
    }  # fmt: skip


def test_values(run: Callable[..., str]) -> None:
    options = "-k 3 --scale 0.5 --style deep --loud --no-safe --out-file x/y --where a=1 --where b --sizes 7"
    given = json.loads(run("everything", "a", *options.split(), "--json"))["given"]
    assert (given["k"], given["scale"], given["style"], given["loud"], given["safe"]) == (3, 0.5, "deep", True, False)
    assert (given["out_file"], given["where"], given["sizes"]) == ("x/y", ["a=1", "b"], [7])


def test_results_are_printed_by_str(run: Callable[..., str]) -> None:
    assert run("everything", "a") == "11 given\n"
    assert run("quiet") == ""
    assert run("quiet", "--json") == "null\n"


def test_a_class_takes_its_constructors_options_too(run: Callable[..., str]) -> None:
    Counter.closed.clear()
    assert run("counter", "2", "--start", "5") == "7\n"
    assert Counter.closed == [5]
    with pytest.raises(ZeroDivisionError):
        main(["counter", "--start", "6", "--", "-1"])
    assert Counter.closed == [5, 6]


def test_help_comes_from_the_docstring(run: Callable[..., str]) -> None:
    out = run("everything", "--help")
    assert "Takes everything." in out and "what to say [again]." in out and "<flat|deep>" in out
    assert "--loud" in out and "--no-loud" not in out and "--no-safe" in out
    assert "callback" not in out and "request" not in out and "rt" not in out.split()


def test_what_a_command_line_cannot_express() -> None:
    def needs(rt: Any, table: Mapping[str, int]) -> None:
        pass

    def hides(rt: Any, json: bool = False) -> None:
        pass

    with pytest.raises(PluginError, match='"needs" cannot be a command: no argument can be a table'):
        command("needs", needs)
    with pytest.raises(PluginError, match="parameter json hides an option of every command"):
        command("hides", hides)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int | None, int),
        (str | Path, str),
        (Mapping[str, int] | float, float),
        (tuple[Path, ...], list[Path]),
        (Sequence[Literal["a", "b"]], list[Literal["a", "b"]]),
        (Sequence[Sequence[int]], None),
        (dict[str, int], None),
        (object, None),
    ],
)
def test_types(annotation: Any, kind: Any) -> None:
    assert command_type(annotation) == kind
