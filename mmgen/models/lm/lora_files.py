"""LoRA adapters of language models written as PEFT writes them; adapters/peft_files.py reads those of every kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from mmgen.models.checkpoints import gguf_checkpoint
from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.lm import families
from mmgen.models.lm.adapters.peft_files import START, load
from mmgen.models.lm.language_model import OWN, LanguageModel
from mmgen.models.lm.lora import Adapters

__all__ = ["family_of", "load", "names_of", "save"]
FIXED = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "lora_dropout": 0.0, "inference_mode": True}


def names_of(folder: Path, lm: LanguageModel) -> Names:
    """How a folder's family calls the tensors of its model."""
    values = gguf_checkpoint.config_values(folder)
    if values.get("model_type") == OWN:
        return {**lm.names(), "head.weight": TensorName(("head.weight",))}
    return families.find(values, folder).table(replace(lm.config, tied=False))  # the head has a name, be it the words or not


def save(adapters: Adapters, name: str, folder: Path, base: str = "") -> None:
    """Writes adapter_model.safetensors and adapter_config.json. `base`: the model's reference."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for ours, lora in adapters.layers(name).items():
        place = adapters.places[ours]
        theirs = {rows: one for one, rows in place.rows.items()}
        for rows, down, up in zip(lora.rows, lora.down, lora.up, strict=True):
            tensors[f"{START}{theirs[rows]}.lora_A.weight"] = down.detach().contiguous()
            own_order = place.theirs.heads or place.theirs.groups
            up = place.theirs.parted(up.detach())[0] if own_order else up.detach()
            tensors[f"{START}{theirs[rows]}.lora_B.weight"] = up.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    values = {**FIXED, "base_model_name_or_path": base, **adapters.settings[adapters.numbers[name]]}
    (folder / "adapter_config.json").write_text(json.dumps(values, indent=2) + "\n")


def family_of(folder: Path) -> str:
    """The name of a folder's family, as `language_model.save` takes it; "": mmgen's own, or one that is not written."""
    name = str(gguf_checkpoint.config_values(folder).get("model_type"))
    return "" if name == OWN or families.FAMILIES[name].back is None else name
