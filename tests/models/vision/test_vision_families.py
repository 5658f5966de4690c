"""Configurations that leave everything out mean what they mean to transformers."""

from pathlib import Path
from typing import Any

import pytest
import tiny_vision
import torch
import transformers
from safetensors.torch import load_file, save_file

from mmgen.errors import BadWeights
from mmgen.models.vision import dual_encoder, vision_families
from mmgen.models.vision.vision_families import TOWERS, TWO_TOWERS

CONFIGS: dict[str, Any] = {
    "clip": transformers.CLIPConfig,
    "siglip": transformers.SiglipConfig,
    "vit": transformers.ViTConfig,
    "dinov2": transformers.Dinov2Config,
}


@pytest.mark.parametrize("name", list(CONFIGS))
def test_defaults(name: str) -> None:
    family = {**TWO_TOWERS, **TOWERS}[name]
    assert family.shape({}) == family.shape(CONFIGS[name]().to_dict())


def test_laion_vit_h_14() -> None:
    """Heads of 80, as its open_clip_config.json says."""
    seen = {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14}
    read = {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24}
    shape = TWO_TOWERS["open_clip"].shape({"embed_dim": 1024, "vision_cfg": seen, "text_cfg": read})
    assert (shape.vision.heads, shape.vision.intermediate_size, shape.vision.tokens, shape.dimension) == (16, 5120, 257, 1024)
    assert shape.text is not None and (shape.text.intermediate_size, shape.text.activation) == (4096, "gelu")


def test_an_open_clip_that_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(BadWeights, match=r"open_clip_config\.json lacks 'vision_cfg'"):
        vision_families.two_towers(tmp_path)


def test_transformers_files_are_taken_before_those_of_open_clip(tiny_clip: Path, tmp_path: Path) -> None:
    for file in tiny_clip.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "open_clip_config.json").write_text("{}")
    family, _, stem = vision_families.two_towers(tmp_path)
    assert family is TWO_TOWERS["clip"] and stem == "model"


def test_position_ids_of_older_files_are_passed_over(tmp_path: Path) -> None:
    tiny_vision.saved(tiny_vision.clip(), tmp_path)
    path = tmp_path / "model.safetensors"
    more = {f"{half}_model.embeddings.position_ids": torch.arange(17)[None] for half in ("vision", "text")}
    save_file({**load_file(path), **more}, path)
    assert dual_encoder.load(tmp_path).dimension == 24
