"""Which files of a folder are read, and what is said of one that is not whole; test_hub.py has what a reference says of it."""

import json
from pathlib import Path

import pytest

from mmgen import weight_files
from mmgen.errors import BadWeights

SHARDED = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]


def folder(place: Path, *names: str) -> Path:
    for name in names:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"weight_map": dict(enumerate(SHARDED[:2]))}) if "index" in name else "{}")
    return place


def test_one_variant_and_one_spelling_are_read(tmp_path: Path) -> None:
    folder(tmp_path, "config.json", "consolidated.safetensors", "model.fp16.safetensors", *SHARDED)
    weight_files.check(tmp_path)
    assert weight_files.used(tmp_path) == [tmp_path / name for name in SHARDED[:2]]
    assert len(weight_files.weights(tmp_path)) == 4


def test_parts_of_a_pipeline(tmp_path: Path) -> None:
    folder(
        tmp_path, "whole.safetensors", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors", "vae/config.json", "safety_checker/config.json",
    )  # fmt: skip
    index = {"_class_name": "X", "unet": ["d", "U"], "vae": ["d", "V"], "safety_checker": ["s", "S"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(BadWeights, match=r"vae holds no \*\.safetensors, which its config\.json and model_index\.json ask for"):
        weight_files.check(tmp_path)
    folder(tmp_path, "vae/diffusion_pytorch_model.fp16.safetensors")
    weight_files.check(tmp_path)
    used = [path.relative_to(tmp_path).as_posix() for path in weight_files.used(tmp_path)]
    assert used == ["unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors"]
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(BadWeights, match=r"model_index\.json is damaged"):
        weight_files.check(tmp_path)


def test_a_shard_that_is_missing(tmp_path: Path) -> None:
    folder(tmp_path, SHARDED[1])
    with pytest.raises(BadWeights, match=r"lacks model-00001-of-00002\.safetensors, one of its shards"):
        weight_files.check(tmp_path)
    folder(tmp_path, "model.fp16.safetensors")
    weight_files.check(tmp_path)
