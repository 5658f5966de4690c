"""Files that prompts name, drawn with: LoRA by `<lora:NAME>`, words with vectors of their own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mmgen.errors import BadRequest, MmgenError, NotFound
from mmgen.image_params import ImageParams, LoraWeight
from mmgen.pipelines.image import prompt_files
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

FEW: dict[str, Any] = {"steps": 2, "seed": 7}
LAYER = "unet.up_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v"


def furthest(one: Image.Image, other: Image.Image) -> int:
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


@pytest.fixture
def files(studio: Runtime) -> Path:
    """A LoRA and a learned word in the home directory."""
    torch.manual_seed(3)
    folder = studio.home / "loras" / "styles"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {f"{LAYER}.lora_A.weight": torch.randn(2, 16), f"{LAYER}.lora_B.weight": torch.randn(16, 2)}
    save_file(tensors, folder / "oil.safetensors")
    (studio.home / "embeddings").mkdir(exist_ok=True)
    save_file({"emb_params": 5 * torch.randn(2, 16)}, studio.home / "embeddings" / "toy.safetensors")
    return folder / "oil.safetensors"


def test_each_prompt_has_its_own_lora(studio: Runtime, files: Path) -> None:
    """In one call; as --lora gives it, and as the recipe tells it."""
    drawn = Txt2Img(studio)(["a cat <lora:oil:0.5>", "a cat"], **FEW)
    assert [one.prompt for one in drawn.recipes] == ["a cat", "a cat"]
    assert [[(one.file, one.scale) for one in made.lora] for made in drawn.recipes] == [[(str(files), 0.5)], []]
    alone, plain = Txt2Img(studio, lora=[f"{files}@0.5"])("a cat", **FEW), Txt2Img(studio)("a cat", steps=2, seed=8)
    assert drawn.images[0].tobytes() == alone.images[0].tobytes() and drawn.images[1].tobytes() == plain.images[0].tobytes()
    assert drawn.images[0].tobytes() != Txt2Img(studio)("a cat", **FEW).images[0].tobytes()


def test_a_learned_word(studio: Runtime, files: Path) -> None:
    drawn = Txt2Img(studio)("a toy", **FEW)
    (told,) = drawn.recipes[0].embedding
    assert Path(told.file).name == "toy.safetensors" and len(told.sha256) == 64
    assert not Txt2Img(studio)("a toys", **FEW).recipes[0].embedding
    (studio.home / "embeddings" / "toy.safetensors").rename(studio.home / "toy.safetensors")
    assert not Txt2Img(studio)("a toy", **FEW).recipes[0].embedding
    again = Txt2Img(studio, embedding=[str(studio.home / "toy.safetensors")])("a toy", **FEW)
    assert again.images[0].tobytes() == drawn.images[0].tobytes()


def test_weights_and_windows_are_drawn(studio: Runtime) -> None:
    draw = Txt2Img(studio)
    prompts = ["a red cat", "a (red:1.4) cat", "a red cat BREAK " + "in a dark green wood " * 6]
    assert len({draw(prompt, **FEW).images[0].tobytes() for prompt in prompts}) == 3
    together = draw(prompts, **FEW)
    alone = draw(prompts[2], steps=2, seed=9)
    assert furthest(together.images[2], alone.images[0]) <= 1


@pytest.mark.parametrize(
    ("prompt", "options", "told"),
    [
        ("a <lora:oyl>", {}, r'LoRA oyl is not in .*loras \(did you mean "oil"\?\); put oyl.safetensors there'),
        ("a <lora:../../oil>", {}, r"LoRA ../../oil is not in"),
        ("a", {"negative": "<lora:oil>"}, "the negative prompt names a LoRA"),
        ("a (cat:nan)", {}, "is no number"),
        ("a", {"negative": "(" * 999}, "nested more than 32 deep"),
    ],
)
def test_one_line_each(studio: Runtime, files: Path, prompt: str, options: dict[str, str], told: str) -> None:
    with pytest.raises(MmgenError, match=told):
        Txt2Img(studio)(prompt, **FEW, **options)


def test_names_are_looked_up(tmp_path: Path) -> None:
    assert prompt_files.with_loras(ImageParams(prompt="a cat"), tmp_path).loras == ()
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "a.safetensors").touch()
    found = prompt_files.with_loras(ImageParams(prompt="<lora:a:-1> cat"), tmp_path)
    assert found.prompt == "cat" and found.loras == (LoraWeight(tmp_path / "loras" / "a.safetensors", -1),)
    with pytest.raises(NotFound, match="embedding gone does not exist"):
        prompt_files.embeddings(["gone"], [found], tmp_path)
    with pytest.raises(BadRequest, match="one scale"):
        prompt_files.with_loras(ImageParams(prompt="<lora:a:1:2>"), tmp_path)
