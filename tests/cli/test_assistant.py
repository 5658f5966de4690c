"""`mmgen assistant` and `mmgen chat --tools`: what is printed, files, and calls that have to be asked for."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from cli_call import Call

from mmgen.cli.assistant import saved
from mmgen.pipelines.agent.tool import ShownImage


@pytest.fixture(autouse=True)
def place(home: Path, tiny_llama: Path, pixel_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"text: {tiny_llama}\ndenoiser: {pixel_model}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)


def test_a_calculation_and_its_step(call: Call) -> None:
    called = call("chat", "--tools", "calc", "what is 3 * 4?")
    assert (called.code, called.out) == (0, "3 * 4 = 12\n")
    assert called.err.startswith("calc (expression: 3 * 4)\n  3 * 4 = 12, ")
    told = json.loads(call("assistant", "--tools", "calc", "--json", "what is 3 * 4?").out)
    assert told["text"] == "3 * 4 = 12" and told["steps"][0]["call"]["tool"] == "calc"


def test_a_conversation_goes_on(call: Call) -> None:
    called = call("assistant", "--tools", "calc", stdin=b"what is 3 * 4?\nwhat is 2 * 2?\n")
    assert called.out == "\n> what is 3 * 4?\n3 * 4 = 12\n\n> what is 2 * 2?\n2 * 2 = 4\n"


def test_a_call_that_nobody_allowed(call: Call) -> None:
    server = Path(__file__).parents[1] / "mcp_server.py"
    command = shlex.join([sys.executable, str(server)])
    called = call("chat", "--mcp", command, "--tools", "mcp", "--max-tokens", 4, "use dot please")
    assert called.code == 0 and "permission to call dot ()" in called.out and "--allow dot" in called.err
    called = call("chat", "--mcp", command, "--allow", "dot", "--max-tokens", 4, "use dot please")
    assert called.out.startswith("image: dot.png\n") and Path("dot.png").is_file()


def test_options_that_do_not_fit(call: Call) -> None:
    called = call("chat", "--tools", "drw", "hi")
    assert called.code == 2 and 'no tool "drw" (did you mean "draw"?)' in called.err
    called = call("chat", "--tools", "calc", "--top-k", 3, "hi")
    assert called.code == 2 and "the assistant has no option top_k" in called.err


def test_files_have_names_of_their_own(tmp_path: Path) -> None:
    image = ShownImage("../../etc/passwd, page 3", "image/png", "aGk=", 1, 1)
    first, second = saved(image, tmp_path), saved(image, tmp_path)
    assert first.parent == second.parent == tmp_path and first != second and first.read_bytes() == b"hi"
