"""LoRA files that name a diffusion transformer's layers as its original repository does: renamed, fused matrices taken apart.

FLUX.1's as kohya, ComfyUI and XLabs write them, Stable Diffusion 3's and Z-Image's likewise.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.diffusion.adapters.lora_file import LoraFile
from mmgen.models.diffusion.single_file.transformers.families import FAMILIES
from mmgen.models.diffusion.single_file.transformers.renamed import Rows

DOTTED = ("", "diffusion_model.", "model.diffusion_model.", "transformer.", "base_model.model.")
FLAT = ("lora_unet_", "lora_transformer_", "lycoris_")
BY_ROW = frozenset({"up", "diff", "up_bias", "diff_bias"})
"""Tensors whose rows are those of the layer's weight."""
SHARED = frozenset({"down", "alpha"})


def translated(file: LoraFile, network: nn.Module) -> LoraFile:
    """The file with the layers' names of diffusers, as far as it has the original ones.

    Raises BadWeights for a fused layer in a kind of adapter whose rows do not stand apart.
    """
    known = _layers(network)
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensors in file.layers.items():
        for path, rows in known.get(name, ()):
            layers[f"transformer.{path}"] = _part(file, name, tensors, rows)
        if name not in known:
            layers[name] = tensors
    return LoraFile(file.path, layers, file.unread, file.settings)


def _layers(network: nn.Module) -> dict[str, list[tuple[str, Rows]]]:
    """Every original name of a layer -> the layers of diffusers that are made of it, and of which rows."""
    family = next((one for one in FAMILIES if one.network == type(network).__name__), None)
    found: dict[str, list[tuple[str, Rows]]] = {}
    if family is None:
        return found
    rename = family.renaming(len(getattr(network, "transformer_blocks", ())))
    for path, layer in network.named_modules():
        if not path or not isinstance(getattr(layer, "weight", None), Tensor):
            continue
        rows = rename(f"{path}.weight")
        original = rows.name.rpartition(".")[0]
        for name in _names(original):
            found.setdefault(name, []).append((path, rows))
    return found


def _names(original: str) -> Iterator[str]:
    yield from (prefix + original for prefix in DOTTED)
    yield from (prefix + original.replace(".", "_") for prefix in FLAT)


def _part(file: LoraFile, name: str, tensors: dict[str, Tensor], rows: Rows) -> dict[str, Tensor]:
    if rows.whole:
        return _with_alpha(file, name, tensors)
    if odd := sorted(tensors.keys() - BY_ROW - SHARED):
        raise BadWeights(
            f"{file.path}: {name} is several layers here, and an adapter with {', '.join(odd)} cannot be taken apart; "
            "take one of plain LoRA"
        )
    made = {key: one if key in SHARED else _rows(one, rows) for key, one in tensors.items()}
    return _with_alpha(file, name, made)


def _rows(tensor: Tensor, rows: Rows) -> Tensor:
    count = len(tensor)
    return torch.cat([tensor[count * begin // rows.of : count * end // rows.of] for begin, end in rows.spans])


def _with_alpha(file: LoraFile, name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the file says of the layer by its own name."""
    if "down" not in tensors or "alpha" in tensors:
        return tensors
    return tensors | {"alpha": torch.tensor(file.alpha(name, tensors["down"].shape[0]))}
