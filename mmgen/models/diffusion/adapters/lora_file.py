"""A LoRA file to one group of tensors a layer, whoever wrote it. Reads safetensors only; knows no network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.safetensors_io import some

ENDS = {
    "lora_A.weight": "down", "lora_down.weight": "down", "lora.down.weight": "down", "lora_linear_layer.down.weight": "down",
    "lora_B.weight": "up", "lora_up.weight": "up", "lora.up.weight": "up", "lora_linear_layer.up.weight": "up",
    "lora_mid.weight": "mid", "lora_B.bias": "up_bias", "lora_up.bias": "up_bias",
    "lora_magnitude_vector.weight": "magnitude", "lora_magnitude_vector": "magnitude", "dora_scale": "dora_scale",
    "alpha": "alpha", "scalar": "scalar", "diff": "diff", "diff_b": "diff_bias", "w_norm": "diff", "b_norm": "diff_bias",
    "hada_w1_a": "w1_a", "hada_w1_b": "w1_b", "hada_w2_a": "w2_a", "hada_w2_b": "w2_b", "hada_t1": "t1", "hada_t2": "t2",
    "lokr_w1": "w1", "lokr_w1_a": "kr1_a", "lokr_w1_b": "kr1_b", "lokr_w2": "w2", "lokr_w2_a": "kr2_a", "lokr_w2_b": "kr2_b",
    "lokr_t2": "kr_t2", "oft_blocks": "oft_blocks", "rescale": "rescale",
    "down.weight": "down", "up.weight": "up",
}  # fmt: skip
"""Ends of tensors' names, and what they are here; the last two are of diffusers' old attention processors."""
NAME = re.compile(rf"(.+?)\.({'|'.join(re.escape(end) for end in sorted(ENDS, key=len, reverse=True))})")
ADAPTER = re.compile(r"\.(lora_[AB]|lora_magnitude_vector)\.[\w-]+?\.(weight|bias)$|\.(lora_magnitude_vector)\.default$")
"""PEFT puts an adapter's name into those of its tensors, unless it is saved by itself."""
PEFT = "base_model.model."


@dataclass(eq=False)
class LoraFile:
    """What a file says. The tensors of a layer are called as the values of `ENDS`."""

    path: Path
    layers: dict[str, dict[str, Tensor]]  # the file's name of a layer -> its tensors
    unread: list[str] = field(default_factory=list)  # names of tensors of a kind that is not known
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)  # PEFT's, by how the layers' names begin

    def alpha(self, layer: str, rank: int) -> float:
        """What `rank` divides: told by the layer itself, else by PEFT's settings, else the rank, so that the factor is 1.

        Raises BadWeights, in words that go on from the layer's name, where PEFT's settings say no number.
        """
        if (own := self.layers[layer].get("alpha")) is not None:
            return float(own)
        for prefix, told in self.settings.items():
            if layer.startswith(prefix):
                try:
                    alpha = _peft_alpha(told, layer.removeprefix(prefix), rank)
                except (TypeError, ValueError, AttributeError):
                    alpha = math.nan
                if not math.isfinite(alpha):
                    raise BadWeights("has a lora_alpha in PEFT's settings that is no number")
                return alpha
        return float(rank)


def read(path: Path) -> LoraFile:
    """A safetensors file, or the folder of one. Raises BadWeights for a file that is damaged, a pickle, or no LoRA."""
    path = file_of(path)
    tensors = safetensors_io.read(path)  # says in one line what is wrong with the file
    layers: dict[str, dict[str, Tensor]] = {}
    unread = []
    for name, tensor in tensors.items():
        match = NAME.fullmatch(ADAPTER.sub(_without_adapter, name))
        if match is None:
            unread.append(name)
        else:
            layers.setdefault(match[1], {})[ENDS[match[2]]] = tensor
    if not layers:
        raise BadWeights(
            f"{path} is no LoRA of a known kind: it holds {some(unread)}; give a file with lora, loha or lokr layers"
        )
    bad = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not bool(tensor.isfinite().all())]
    if bad:
        raise BadWeights(f"{path} holds numbers that are none in {some(bad)}; the file is damaged, fetch it again")
    return LoraFile(path, layers, unread, _settings(path, next(iter(layers))))


def file_of(path: Path) -> Path:
    """The safetensors file that is meant, of a file or a folder."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        if len(files) != 1:
            raise BadRequest(f"{path} holds {len(files)} safetensors files; name the LoRA file itself")
        return files[0]
    if path.suffix != ".safetensors":
        raise BadWeights(f"{path} is not a safetensors file; a pickle can run code when read, fetch the LoRA as safetensors")
    return path


def _without_adapter(match: re.Match[str]) -> str:
    return f".{match[1]}.{match[2]}" if match[1] else f".{match[3]}"


def _settings(path: Path, first: str) -> dict[str, dict[str, Any]]:
    """PEFT's, from adapter_config.json beside the file, or where diffusers keeps them: in the file's header."""
    beside = path.parent / "adapter_config.json"
    if first.startswith(PEFT) and beside.is_file():
        return {PEFT: dict(safetensors_io.read_json(beside))}
    told = safetensors_io.read_metadata(path).get("lora_adapter_metadata")
    if not told:
        return {}
    found: dict[str, dict[str, Any]] = {}
    try:
        for name, value in json.loads(told).items():
            part, _, key = name.partition(".")
            found.setdefault(f"{part}.", {})[key] = value
    except (ValueError, AttributeError):
        raise BadWeights(f"{path} has a damaged lora_adapter_metadata in its header; save it anew") from None
    return found


def _peft_alpha(told: Mapping[str, Any], layer: str, rank: int) -> float:
    """`lora_alpha`, or the pattern's of that layer; with rsLoRA the factor is alpha / sqrt(rank), Kalajdzievski 2023."""
    patterns = told.get("alpha_pattern") or {}
    ends = ((name.removeprefix("^"), alpha) for name, alpha in patterns.items())  # compared as text: a file is no regex to run
    own = next((alpha for end, alpha in ends if f".{layer}".endswith(f".{end}")), None)
    alpha = next(one for one in (own, told.get("lora_alpha"), told.get("alpha"), rank) if one is not None)
    return float(alpha) * (rank**0.5 if told.get("use_rslora") else 1)
