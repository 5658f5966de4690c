"""`mmgen explain`: a table, drawings, and what cannot be drawn."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import tiny_lm
from cli_call import Call
from PIL import Image


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_lm.make(tmp_path_factory.mktemp("lm"))


def test_table_and_diagram(call: Call, model: Path, tmp_path: Path) -> None:
    called = call("explain", model, "--diagram", tmp_path / "blocks.svg", "--context", "10")
    assert called.code == 0 and "transformer.blocks.*.attention.qkv" in called.out and "64 x 32" in called.out
    assert "a token: 256 bytes of keys and values" in called.out and called.out.endswith(f"wrote {tmp_path / 'blocks.svg'}\n")
    texts = [one.text for one in ElementTree.parse(tmp_path / "blocks.svg").iter() if one.tag.endswith("text")]
    assert "2 times" in texts and "attention: 2 heads of 16, 1 of keys and values" in texts
    told = json.loads(call("explain", model, "--json").out)
    assert told["parameters"] == sum(part["parameters"] for part in told["parts"])


def test_lens_and_patching(call: Call, model: Path, tmp_path: Path) -> None:
    called = call("explain", model, "--lens", "the fox runs", "-o", tmp_path / "lens.png")
    assert called.code == 0, called.err
    prompts = ("--patch", "the fox runs", "the fox sees", "--answers", " over", " home")
    called = call("explain", model, *prompts, "-o", tmp_path / "patch.png")
    assert called.code == 0, called.err
    for name in ("lens.png", "patch.png"):
        with Image.open(tmp_path / name) as image:
            assert image.width > 100


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--patch", "a b", "a c"), "--patch compares two answers"),
        (("--lens", "a", "--patch", "a", "b", "--answers", "c", "d"), "both write --out"),
        (("--patch", "the fox", "the hen", "--answers", "x", "x"), "begin with the same token"),
        (("--lens", "the fox " * 60), "64 are drawn at most, shorten it"),
    ],
)
def test_mistakes(call: Call, model: Path, options: tuple[str, ...], says: str) -> None:
    called = call("explain", model, *options)
    assert called.code == 2 and says in called.err and "Traceback" not in called.err
