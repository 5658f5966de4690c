"""Checkpoints of mmgen's own CLIP models: configuration, preprocessing, weights and the sentence encoder's reference."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights, ConfigError
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.vision.clip import Clip, ClipConfig
from mmgen.models.vision.preprocess import ImagePreprocess

OWN = "mmgen-clip"
"""The `model_type` of their config.json."""


def save(clip: Clip, folder: Path, preprocess: ImagePreprocess, texts: str = "", compact: bool = False) -> None:
    """Writes config.json and model.safetensors. The caller adds the tokenizer.json of a model with a text tower.

    `texts`: reference of the frozen sentence encoder of a model without a text tower. `compact`: matrices as int8, see
    `safetensors_io.packed`.
    """
    from safetensors.torch import save_file

    told = {"model_type": OWN, "texts": texts, "clip": asdict(clip.config), "preprocess": asdict(preprocess)}
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.state_dict().items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(safetensors_io.packed(state) if compact else state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Clip, ImagePreprocess, str]:
    """The model on the CPU in fp32, its preprocessing, and the reference of its sentence encoder or "".

    Raises BadWeights where a file is missing or damaged, or where weights and configuration do not match.
    """
    path = folder / "config.json"
    values = safetensors_io.read_json(path)
    try:
        shape, preprocess = _parsed(ClipConfig, values["clip"]), _parsed(ImagePreprocess, values["preprocess"])
        texts = str(values["texts"])
    except (KeyError, TypeError, ConfigError) as why:
        raise BadWeights(f"{path} is no configuration of our CLIP models ({why}); copy or download it again") from None
    clip = Clip(shape)
    safetensors_io.fill(clip, safetensors_io.unpacked(safetensors_io.read(folder / "model.safetensors")))
    return clip, preprocess, texts


def _parsed(kind: Any, values: Any) -> Any:
    from pydantic import RootModel

    from mmgen import config

    return config.load(values, RootModel[kind]).root
