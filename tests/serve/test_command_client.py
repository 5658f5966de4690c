"""Commands whose work a server of this home does: what is printed is the same, or else they do it."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import pair
from cli_call import Call
from local_server import listening

from mmgen.errors import Closed
from mmgen.pipelines import event_json
from mmgen.pipelines.chat import Chat, Reply
from mmgen.pipelines.language.text_pipeline import Completion, Delta, Token
from mmgen.pipelines.text import TextGeneration
from mmgen.serve import command_client, port_file
from mmgen.serve.port_file import PortFile
from mmgen.serve.wire import tls

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

SHORT = ("--max-tokens", 8, "--seed", 3)
TEXT = command_client.text_kinds(TextGeneration)
CHANGING = ("timings", "request_id", "usage")
"""Of a result: clocks, names, and what an earlier call left in the cache."""


@pytest.fixture(autouse=True)
def place(home: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"text: {tiny_llama}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def app(writer: "Runtime", place: None) -> "Iterator[FastAPI]":
    """A server of this home."""
    from mmgen.serve.app import create_app
    from mmgen.serve.settings import ServeConfig

    app = create_app(writer, ServeConfig(history=False, drain_s=0.1))
    with listening(app) as address, port_file.advertised("127.0.0.1", int(address.rpartition(":")[2]), app.state.token):
        yield app


def calls(app: "FastAPI") -> int:
    return len(app.state.tracker.entries())


@pytest.mark.parametrize(("known", "seen"), [(True, 1), (False, 0)])
def test_over_tls(known: bool, seen: int, writer: "Runtime", call: Call, tmp_path: Path) -> None:
    """By the home's server, known by its certificate; another one in its place does not see the token."""
    from mmgen.serve.app import create_app
    from mmgen.serve.settings import ServeConfig

    certificate = tls.read(*pair(tmp_path))
    assert certificate is not None
    app = create_app(writer, ServeConfig(history=False, drain_s=0.1))
    with listening(app, certificate) as address:
        port, digest = int(address.rpartition(":")[2]), certificate.digest if known else "0" * 64
        with port_file.advertised("127.0.0.1", port, app.state.token, digest):
            there = call("text", "the cat", *SHORT)
    assert there.code == 0 and calls(app) == seen
    assert there == call("text", "the cat", *SHORT, "--local")


@pytest.mark.parametrize(
    "args", [("text", "the cat"), ("text", "the cat", "-n", 2), ("chat", "the cat", "--system", "be kind")]
)
def test_the_same_is_printed(app: "FastAPI", call: Call, args: tuple[Any, ...]) -> None:
    there = call(*args, *SHORT)
    assert there.code == 0 and there.out.strip() and calls(app) == 1
    assert call(*args, *SHORT, "--local") == there and calls(app) == 1


def test_the_same_json(app: "FastAPI", call: Call) -> None:
    args = ("chat", "the cat", *SHORT, "--logprobs", 2, "--json")
    there, here = (json.loads(call(*args, *more).out) for more in ((), ("--local",)))
    assert calls(app) == 1 and there["logprobs"] and there["messages"]
    assert [{**one, **dict.fromkeys(CHANGING)} for one in (there,)] == [{**here, **dict.fromkeys(CHANGING)}]


def test_a_conversation(app: "FastAPI", call: Call) -> None:
    said = b"hello\n" + b"x" * 600 + b"\nthe cat\n"
    there = call("chat", *SHORT, stdin=said)
    assert calls(app) == 3 and there == call("chat", *SHORT, "--local", stdin=said) and there.err.count("error: ") == 1


@pytest.mark.parametrize(
    "args",
    [
        ("text", ""),
        ("text", "a", "--max-tokens", 0),
        ("chat", "hi", "--temperature", "-1"),
        ("text", "a", "--model", "nowhere"),
        ("text", "a", "--model", "tiny"),
        ("text", "a", "--adapter", "tiny"),
        ("text", "a", "--json-schema", "gone.json"),
    ],
)
def test_the_same_mistakes(app: "FastAPI", call: Call, args: tuple[Any, ...]) -> None:
    """Paths in messages as they were given."""
    Path("tiny").mkdir()
    there = call(*args)
    assert there.code == 2 and there.err.count("\n") == 1 and calls(app) == int("nan" not in args)  # which JSON cannot say
    here = call(*args, "--local")
    assert (here.code, here.err) == (2, there.err.replace(str(Path.cwd()) + "/", "")) or here == there


def test_a_path_means_the_folder_of_the_command(
    app: "FastAPI", call: Call, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_llama.parent)
    told = call("text", "the cat", *SHORT, "--model", tiny_llama.name, "--json")
    assert json.loads(told.out)["model"] == tiny_llama.name and calls(app) == 1


def test_a_path_in_the_folder_of_the_server_alone(tmp_path: Path) -> None:
    (tmp_path / "there" / "org" / "name").mkdir(parents=True)
    with pytest.raises(command_client.Unavailable):
        command_client.absolute("org/name#int8", str(tmp_path / "there"))
    assert command_client.absolute("org/name#int8", str(tmp_path)) == "org/name#int8"
    Path("org").mkdir()
    assert command_client.absolute("org:Q4_K_M#int8", str(tmp_path)) == str(Path("org").absolute()) + ":Q4_K_M#int8"


def test_what_it_does_itself(app: "FastAPI", call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("text", "the cat", *SHORT, "--attention", "maps.png").code == 0
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the server has it not
    assert call("text", "the cat", *SHORT).code == 0 and calls(app) == 0


def test_a_model_that_has_to_be_pulled_is_told_here(app: "FastAPI", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.embedded.present", lambda reference: False)
    assert command_client.opened("text", TextGeneration, {}, lambda: "here") == "here"
    assert isinstance(
        command_client.opened("text", TextGeneration, {"model": "tiny"}, lambda: "here"), command_client.ServedPipeline
    )


def test_a_server_that_takes_no_more(app: "FastAPI", call: Call) -> None:
    app.state.tracker.close()
    assert call("text", "the cat", *SHORT) == call("text", "the cat", *SHORT, "--local")


def test_leaving_early_cancels_at_the_server(app: "FastAPI", writer: "Runtime", monkeypatch: pytest.MonkeyPatch) -> None:
    runner, step = writer.text().text_runner, writer.text().text_runner.step
    monkeypatch.setattr(runner, "step", lambda jobs: (time.sleep(0.02), step(jobs)))
    server = port_file.running()
    assert server is not None
    events = command_client.ServedPipeline(
        server, "text", command_client.text_kinds(TextGeneration), {}, TextGeneration
    ).stream("the cat", max_tokens=400, seed=3)
    next(events)
    events.close()
    (entry,) = app.state.tracker.entries()
    until = time.monotonic() + 10
    while entry.ended is None and time.monotonic() < until:
        time.sleep(0.01)
    assert entry.request.cancelled and entry.ended is not None


def test_a_server_that_dies_in_the_middle() -> None:
    event = b'data: {"kind": "text", "value": "{\\"index\\": 0, \\"text\\": \\"A\\"}"}\n\n'

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(event), event))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        server = PortFile(1, "", "127.0.0.1", listener.getsockname()[1], "", "", "", "", "")
        events = command_client.ServedPipeline(
            server, "text", command_client.text_kinds(TextGeneration), {}, TextGeneration
        ).stream("a")
        assert next(events).value == Delta(0, "A")
        with pytest.raises(Closed, match="ended before its answer did"):
            next(events)
        thread.join()


def test_images_are_the_same_to_the_byte(app: "FastAPI", call: Call) -> None:
    drawn = ("txt2img", "a cat", "--seed", 7, "--steps", 2, "-n", 2, "-o")
    there = call(*drawn, "there-{n}.png")
    assert there.code == 0 and calls(app) == 1
    here = call(*drawn, "here-{n}.png", "--local")
    assert calls(app) == 1 and there.out == here.out.replace("here", "there") and there.err == here.err
    for n in (1, 2):
        assert Path(f"there-{n}.png").read_bytes() == Path(f"here-{n}.png").read_bytes()
    changed = ("img2img", "here-1.png", "a dog", "--seed", 1, "--steps", 2, "--json", "-o")
    told = [json.loads(call(*changed, f"{n}.png", *more).out) for n, more in enumerate(((), ("--local",)))]
    assert calls(app) == 2 and told[0]["recipes"] == told[1]["recipes"]
    assert Path("0.png").read_bytes() == Path("1.png").read_bytes()


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        (("txt2img", "a", "--steps", 0), 1),
        (("img2img", "./gone.png", "a"), 1),
        (("txt2img", "a", "--model", "nowhere"), 1),
        (("txt2img", "a", "--lora", "gone.safetensors"), 0),  # a recipe holds the path as it was given
        (("txt2img", "a", "--vae", "gone.safetensors"), 0),
        (("rag", "ask", "who?", "--store", "./gone"), 1),
        (("chat", "hi", "--temperature", "nan"), 0),  # JSON has no such number
        (("rag", "ask", " "), 1),
        (("rag", "search", "who?", "--store", "./gone"), 1),
        (("image", "search", "--image", "gone.png"), 1),
        (("embed", "analogy", "king", "--among", "gone.txt"), 0),
    ],
)
def test_the_same_mistakes_of_images_and_answers(app: "FastAPI", call: Call, args: tuple[Any, ...], seen: int) -> None:
    there = call(*args)
    assert there.code == 2 and there.err.count("\n") == 1 and calls(app) == seen
    assert there == call(*args, "--local")


def test_answers_are_the_same(app: "FastAPI", call: Call) -> None:
    Path("tea.txt").write_text("Tea is drunk hot. The lamp of Argand burnt oil, and was lit at dusk.")
    asked = ("rag", "ask", "What did the lamp of Argand burn?", "--store", "./notes", "--json")
    assert call("rag", "add", "tea.txt", "--store", "./notes").code == 0
    there, here = (json.loads(call(*asked, *more).out) for more in ((), ("--local",)))
    assert calls(app) == 1 and there["citations"] and there["passages"]
    assert {**there, **dict.fromkeys(CHANGING)} == {**here, **dict.fromkeys(CHANGING)}
    assert call(*asked[:-1]).out.splitlines()[:4] == call(*asked[:-1], "--local").out.splitlines()[:4]


def test_a_conversation_about_documents(app: "FastAPI", call: Call) -> None:
    """Each question with those before, which go to the server with it."""
    Path("tea.txt").write_text("Tea is drunk hot. The lamp of Argand burnt oil, and was lit at dusk.")
    assert call("rag", "add", "tea.txt", "--store", "./notes").code == 0
    chat, lines = ("rag", "chat", "--threshold", "0", "--store", "./notes"), b"What is the lamp of Argand?\nWhen was it lit?\n"
    told = [re.sub(r"\d+ ms", "", call(*chat, *more, stdin=lines).out) for more in ((), ("--local",))]
    assert calls(app) == 2 and told[0] == told[1] and "(searched: When was the lamp of Argand lit?)" in told[0]


def test_searches_and_analogies_are_the_same(app: "FastAPI", call: Call) -> None:
    Path("tea.txt").write_text("Tea is drunk hot. The lamp of Argand burnt oil, and was lit at dusk.")
    Path("words.txt").write_text("king\nqueen\nboat\n")
    assert call("rag", "add", "tea.txt", "--store", "./notes").code == 0
    search = ("rag", "search", "who burnt oil?", "--store", "./notes")
    analogy = ("embed", "analogy", "king", "-", "man", "--among", "words.txt")
    for number, asked in enumerate((search, (*search, "--json"), analogy), 1):
        told = call(*asked)
        assert told.code == 0 and told.out and calls(app) == number
        here = call(*asked, "--local")
        assert (here.out, here.err) == (told.out, told.err)


def test_a_message_with_more_than_text_stays_here() -> None:
    assert command_client.is_text("a") and command_client.is_text([{"role": "user", "content": "a"}])
    assert not command_client.is_text([{"role": "user", "content": [{"type": "image", "image": "a.png"}]}])
    assert command_client.is_plain(["a", 1, 2.5]) and not command_client.is_plain(Path("a"))


def test_values_come_back_as_they_went() -> None:
    assert command_client.result_type(TextGeneration) is Completion and command_client.result_type(Chat) is Reply
    token = Token("a", float("-inf"), [Token("b", None)], [97])
    told = json.dumps({"index": 0, "text": "a", "tokens": [token]}, default=vars)
    assert event_json.rebuilt(Delta, json.loads(told)) == Delta(0, "a", tokens=[token])


def test_it_imports_nothing_heavy(app: "FastAPI", home: Path) -> None:
    told = (
        "import sys\nfrom mmgen.cli.main import main\nheavy = 'torch numpy transformers tokenizers fastapi faiss'.split()\n"
        "for line in ('chat cat --max-tokens 3', 'txt2img cat --steps 1 --output a.png', 'rag ask who', 'rag search who',\n"
        "             'image search cat', 'embed analogy king --encoder nowhere'):\n"
        " try: main(line.split())\n except SystemExit: pass\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, env={**os.environ, "MMGEN_HOME": str(home)}
    )
    assert done.stdout.endswith("\n[]\n") and calls(app) == 6
