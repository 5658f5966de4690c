"""`mmgen text` and `mmgen chat`: what is printed, conversations, attention images, and what people get wrong."""

import json
from pathlib import Path

import pytest
import tiny_vision_chat
from cli_call import Call
from PIL import Image

from mmgen.config import RuntimeConfig
from mmgen.pipelines.chat import Chat
from mmgen.pipelines.language import content_parts
from mmgen.runtime import Runtime


@pytest.fixture(autouse=True)
def place(home: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder, and a configuration that names the tiny model."""
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"text: {tiny_llama}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)


def test_what_is_printed_is_what_is_written(call: Call) -> None:
    wanted = ("text", "the cat", "--max-tokens", 12, "--seed", 3)
    printed, told = call(*wanted), json.loads(call(*wanted, "--json").out)
    assert printed.code == 0 and printed.out == told["texts"][0] + "\n" and told["seed"] == 3
    assert call("text", "-", "--max-tokens", 12, "--seed", 3, stdin=b"the cat").out == printed.out


def test_several_texts(call: Call) -> None:
    assert call("text", "the cat", "--max-tokens", 4, "--seed", 3, "-n", 2).out.count("\n---\n") == 1


def test_a_conversation_goes_on(call: Call) -> None:
    """The second answer is the one to both messages and the first answer."""
    called = call("chat", "--max-tokens", 6, "--seed", 1, "--json", stdin=b"hello\n\nthe cat\n")
    assert called.code == 0 and called.out.startswith("\n> hello\n") and "\n> the cat\n" in called.out
    last = json.loads(called.out.split("> the cat\n")[1])
    assert [one["role"] for one in last["messages"]] == ["user", "assistant"] * 2
    assert last["messages"][2]["content"].strip() == "the cat"


def test_a_mistake_costs_its_own_message(call: Call) -> None:
    called = call("chat", "--max-tokens", 6, "--seed", 1, stdin=b"x" * 600 + b"\nhello\n")
    assert called.code == 0 and called.err.count("error: ") == 1 and called.out.count("\n> ") == 2


def test_an_image_in_a_chat(call: Call, tmp_path: Path) -> None:
    folder = tiny_vision_chat.saved("qwen2_vl", tmp_path / "eyes")
    image = Image.linear_gradient("L").convert("RGB").resize((50, 40))
    image.save("a.png")
    wanted = ("--image", "a.png", "--image", "a.png", "--model", folder, "--max-tokens", 8, "--temperature", 0)
    printed = call("chat", *wanted, "w3 w4")
    message = {"role": "user", "content": content_parts.with_images("w3 w4", ["a.png", "a.png"])}
    with Runtime(RuntimeConfig(home=tmp_path / "other", device="cpu")) as rt:
        expected = Chat(rt, model=str(folder))([message], max_tokens=8, temperature=0).text
    assert (printed.code, printed.out) == (0, f"{expected}\n")
    assert call("chat", *wanted, stdin=b"w3 w4\n").out == f"\n> w3 w4\n{expected}\n"
    refused = call("chat", "--image", "a.png", "hello")
    assert refused.code == 2 and "reads text alone and sees no images" in refused.err


def test_an_attention_image(call: Call) -> None:
    called = call("text", "the cat", "--max-tokens", 8, "--attention", "maps.png")
    assert called.code == 0 and called.err == "maps.png\n"
    with Image.open("maps.png") as image:
        assert image.width > 2 * 264  # heads side by side


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("text", ""), "the prompt is empty"),
        (("text", "a", "--attention", "maps.jpg"), "maps.jpg is no name of a PNG"),
        (("text", "a" * 300, "--max-tokens", 1, "--attention", "maps.png"), "attention is drawn of 256 at most"),
        (("text", "a", "--max-tokens", 0), "max_tokens is 0"),
        (("chat", "hi", "--temperature", "nan"), "temperature is nan"),
    ],
)
def test_mistakes_are_one_line(call: Call, args: tuple[object, ...], says: str) -> None:
    called = call(*args)
    assert called.code == 2 and says in called.err and called.err.count("\n") == 1
