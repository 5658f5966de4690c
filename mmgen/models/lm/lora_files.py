"""LoRA adapters of language models on disk, as PEFT writes them. Reads safetensors only."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_checkpoint, safetensors_io
from mmgen.models.checkpoints.convert import Names
from mmgen.models.lm import families
from mmgen.models.lm.language_model import OWN, LanguageModel
from mmgen.models.lm.lora import Adapters, LoraLayer

START = "base_model.model."
"""How PEFT begins every name."""
FIXED = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "lora_dropout": 0.0, "inference_mode": True}


def names_of(folder: Path, lm: LanguageModel) -> Names:
    """How a folder's family calls the tensors of its model."""
    values = gguf_checkpoint.config_values(folder)
    return lm.names() if values.get("model_type") == OWN else families.find(values, folder).table(lm.config)


def save(adapters: Adapters, name: str, folder: Path, base: str = "") -> None:
    """Writes adapter_model.safetensors and adapter_config.json. `base`: the model's reference."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for ours, lora in adapters.layers(name).items():
        theirs = {rows: one for one, rows in adapters.places[ours].rows.items()}
        for rows, down, up in zip(lora.rows, lora.down, lora.up, strict=True):
            tensors[f"{START}{theirs[rows]}.lora_A.weight"] = down.detach().contiguous()
            tensors[f"{START}{theirs[rows]}.lora_B.weight"] = up.detach().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    values = {**FIXED, "base_model_name_or_path": base, **adapters.settings[adapters.numbers[name]]}
    (folder / "adapter_config.json").write_text(json.dumps(values, indent=2) + "\n")


def load(adapters: Adapters, name: str, folder: Path) -> None:
    """Adds an adapter that PEFT or `save` wrote. Raises BadWeights for a kind that we do not have, or of another model."""
    values = safetensors_io.read_json(folder / "adapter_config.json")
    _check(values, folder)
    tensors = safetensors_io.read(folder / "adapter_model.safetensors")
    pairs = {key.removeprefix(START).removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")}
    if len(tensors) != 2 * len(pairs):
        raise BadWeights(f"{folder} holds {len(tensors)} tensors for {len(pairs)} layers; LoRA has two for each")
    if unknown := sorted(pairs - {one for place in adapters.places.values() for one in place.rows}):
        raise BadWeights(
            f"{folder} names {safetensors_io.some(unknown)}, which this model has not; take an adapter made for it"
        )
    rank, stable = values["r"], bool(values.get("use_rslora"))
    scale = values["lora_alpha"] / (math.sqrt(rank) if stable else rank)
    kept = {"r": rank, "lora_alpha": values["lora_alpha"], "target_modules": values["target_modules"], "use_rslora": stable}
    for place in adapters.places.values():
        for one in pairs & set(place.rows):
            _fits(tensors, one, rank, place.width, place.rows[one], folder)
    number = adapters.enter(name, kept)
    for ours, place in adapters.places.items():
        if parts := [one for one in place.rows if one in pairs]:
            _fill(adapters.put(ours, number, parts, rank, scale), parts, tensors)


def _fits(tensors: Mapping[str, Tensor], one: str, rank: int, width: int, rows: tuple[int, int], folder: Path) -> None:
    for kind, shape in (("A", (rank, width)), ("B", (rows[1] - rows[0], rank))):
        found = tensors.get(f"{START}{one}.lora_{kind}.weight")
        if found is None or tuple(found.shape) != shape:
            told = "missing" if found is None else tuple(found.shape)
            raise BadWeights(f"{folder}: {one}.lora_{kind} is {told} instead of {shape}; take an adapter made for this model")


@torch.no_grad()
def _fill(lora: LoraLayer, parts: list[str], tensors: Mapping[str, Tensor]) -> None:
    for one, down, up in zip(parts, lora.down, lora.up, strict=True):
        down.copy_(tensors[f"{START}{one}.lora_A.weight"])
        up.copy_(tensors[f"{START}{one}.lora_B.weight"])


def _check(values: Mapping[str, Any], folder: Path) -> None:
    if values.get("peft_type") != "LORA":
        raise BadWeights(f"{folder} is an adapter of the kind {values.get('peft_type')}; LORA is read here")
    odd = [key for key in ("use_dora", "alpha_pattern", "rank_pattern", "layer_replication") if values.get(key)]
    if odd or values.get("bias", "none") != "none":
        raise BadWeights(f"{folder} uses {', '.join(odd) or 'biases'}, which our LoRA has not; save a plain one")


def family_of(folder: Path) -> str:
    """The name of a folder's family, as `language_model.save` takes it; "": mmgen's own, or one that is not written."""
    name = str(gguf_checkpoint.config_values(folder).get("model_type"))
    return "" if name == OWN or families.FAMILIES[name].back is None else name
