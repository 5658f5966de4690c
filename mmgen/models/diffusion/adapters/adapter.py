"""A LoRA file as it acts on one model: what it adds to the layers of each network. Raises where any tensor is left over."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmgen.errors import BadWeights, NotFound
from mmgen.models.checkpoints.safetensors_io import some
from mmgen.models.diffusion.adapters import lora_file, original_layers
from mmgen.models.diffusion.adapters.adapted_layers import Deltas
from mmgen.models.diffusion.adapters.layer_names import layers_by_name
from mmgen.models.diffusion.adapters.weight_delta import DenseDelta, LowRankDelta, NormDelta, WeightDelta, delta_of

FAMILIES = {
    r"lora_te2_|label_emb|transformer_blocks[._][2-9]": "Stable Diffusion XL",
    r"double_blocks|single_transformer_blocks": "FLUX",
    r"joint_blocks": "Stable Diffusion 3",
    r"^(lora_)?transformer[._]": "a diffusion transformer",
    r"\bmodel\.layers\.": "a language model",
}
"""What stands in layers' names, and of which model they are then, for an error's sake."""
WIDTHS = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
"""Numbers a token that a UNet's cross-attention reads, likewise."""
KEPT = 8
"""Files that are kept for the next request."""


@dataclass(eq=False)
class ImageAdapter:
    """A file's part of every network."""

    path: Path
    deltas: dict[str, dict[str, WeightDelta]] = field(default_factory=dict)  # network -> its layer -> D

    def of(self, network: str) -> Deltas:
        return self.deltas.get(network, {})

    @property
    def nbytes(self) -> int:
        return sum(delta.nbytes for layers in self.deltas.values() for delta in layers.values())


ScaledAdapters = Sequence[tuple[ImageAdapter, float]]
"""What one row is given."""


def load(path: Path, networks: Mapping[str, nn.Module], model: str) -> ImageAdapter:
    """Reads a file for these networks: unet, text_encoder, text_encoder_2.

    model: what an error calls it.
    Raises BadWeights for a file that is damaged, is of another model, or holds any tensor that would not be used.
    """
    file, known = lora_file.read(path), layers_by_name(networks)
    if (transformer := networks.get("transformer")) is not None:
        file = original_layers.translated(file, transformer)
    strange = [name for name in file.layers if name not in known]
    if len(strange) == len(file.layers):
        raise BadWeights(
            f"{file.path} names no layer of {model}: {some(strange, 2)}{_family(strange)}; take a LoRA made for this model"
        )
    if strange or file.unread:
        raise BadWeights(
            f"{file.path} has tensors that {model} has no layer for: {some([*strange, *file.unread])}"
            f"{_family(strange)}; take a LoRA made for this model"
        )
    adapter = ImageAdapter(file.path)
    for name, tensors in file.layers.items():
        network, layer = known[name]
        module = networks[network].get_submodule(layer)
        try:
            delta = delta_of(module, tensors, partial(file.alpha, name))
        except BadWeights as why:
            raise BadWeights(
                f"{file.path} does not fit {model}: its layer {layer} {why}{_width(file)}; take a LoRA made for it"
            ) from None
        if layer in adapter.deltas.setdefault(network, {}):
            raise BadWeights(f"{file.path} names the layer {layer} twice, also as {name}; the file is damaged")
        adapter.deltas[network][layer] = _placed(delta, module)
    return adapter


def _placed(delta: WeightDelta, module: Any) -> WeightDelta:
    """On the layer's device, in the numbers that it computes with."""
    weight = module.weight
    dtype = weight.dtype if weight.is_floating_point() else torch.float32
    parts = {name: one.to(weight.device, dtype) for name, one in vars(delta).items() if isinstance(one, torch.Tensor)}
    assert isinstance(delta, LowRankDelta | DenseDelta | NormDelta)
    return type(delta)(**{**vars(delta), **parts})


def _family(names: Iterable[str]) -> str:
    """`, it looks like one for FLUX`, where the names tell."""
    for words, family in FAMILIES.items():
        if any(re.search(words, name) for name in names):
            return f", it looks like one for {family}"
    return ""


def _width(file: lora_file.LoraFile) -> str:
    """The same by the width of what its cross-attention reads."""
    for name, tensors in file.layers.items():
        down = tensors.get("down")
        if down is not None and re.search(r"attn2[._](processor\.)?to_k", name) and down.shape[1] in WIDTHS:
            return f", it looks like one for {WIDTHS[down.shape[1]]}"
    return ""


class AdapterFiles:
    """The files that a model was given last, read once."""

    def __init__(self, networks: Mapping[str, nn.Module], model: str) -> None:
        self.networks, self.model = networks, model
        self._kept: OrderedDict[tuple[Path, int, int], ImageAdapter] = OrderedDict()

    def get(self, path: Path) -> ImageAdapter:
        """See `load`. A file that changed is read again."""
        path = lora_file.file_of(path)
        try:
            status = path.stat()
        except OSError as why:
            raise NotFound(f"LoRA {path} cannot be read ({why.strerror}); check the path") from None
        key = (path, status.st_size, status.st_mtime_ns)
        if key not in self._kept:
            self._kept[key] = load(path, self.networks, self.model)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]
