"""LoRA references, and what is the same whatever draws."""

from pathlib import Path

import pytest

from mmgen.errors import NotFound
from mmgen.image_params import LoraWeight


def test_references_of_lora_files(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b@home"):
        (tmp_path / name).touch()
    assert LoraWeight.read(f"{tmp_path}/a.safetensors") == LoraWeight(tmp_path / "a.safetensors", 1.0)
    assert LoraWeight.read(f"{tmp_path}/a.safetensors@0.5") == LoraWeight(tmp_path / "a.safetensors", 0.5)
    assert LoraWeight.read(f"{tmp_path}/b@home") == LoraWeight(tmp_path / "b@home", 1.0)
    with pytest.raises(NotFound, match=r"LoRA .*c does not exist"):
        LoraWeight.read(f"{tmp_path}/c@2")
