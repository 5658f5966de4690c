"""Models that were tuned from one base as one, without training: weights are averaged, or what was learned is added.

What a model learned is its task vector, its weights less the base's (Ilharco et al. 2023, arXiv 2212.04089).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm import lora_files
from mmgen.models.lm.adapters import peft_files
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.text_model import TextModel

Method = Literal["linear", "task-arithmetic", "ties"]


def merge(base: str, models: Sequence[str], method: Method, weights: Sequence[float], density: float = 0.2) -> TextModel:
    """The merged model, in fp32; the base's with other weights.

    Args:
        base: the reference of the model that the others were tuned from.
        models: references, or folders of LoRA adapters of the base.
        method: linear averages the models; task-arithmetic adds their task vectors to the base; ties keeps of each the largest
            part, lets the others vote on each weight's sign, and adds the mean of those that agree (Yadav et al. 2023).
        weights: of each model; of linear as shares of their sum.
        density: of ties, the share of each task vector that is kept.

    Raises:
        BadRequest: nothing to merge, weights that do not fit, or a model of another shape.
    """
    if not models or len(models) != len(weights):
        raise BadRequest(f"{len(models)} models and {len(weights)} weights; give at least one model, and a weight for each")
    if not 0 < density <= 1:
        raise BadRequest(f"density is {density}; it can be above 0 and at most 1")
    if method == "linear" and sum(weights) == 0:
        raise BadRequest("the weights add up to 0; linear needs shares of a sum")
    merged = TextModel.load(hub.resolve(base), name=base, precision="fp32")
    own = {name: weight.detach().clone() for name, weight in merged.lm.named_parameters()}
    vectors: list[dict[str, Tensor]] = [_task_vector(base, one, own) for one in models]
    with torch.no_grad():
        for name, weight in merged.lm.named_parameters():
            weight.add_(added([vector[name] for vector in vectors], method, weights, density))
    return merged


def added(vectors: Sequence[Tensor], method: Method, weights: Sequence[float], density: float) -> Tensor:
    """What the base's tensor gets, of one tensor of each task vector."""
    stacked = torch.stack(list(vectors))
    scales = torch.tensor(weights, dtype=stacked.dtype).view(-1, *(1 for _ in vectors[0].shape))
    if method == "linear":
        return (stacked * scales / sum(weights)).sum(0)
    if method == "task-arithmetic":
        return (stacked * scales).sum(0)
    kept = torch.stack([_largest(vector, density) for vector in vectors])
    sign = torch.where(kept.sum(0) >= 0, 1.0, -1.0)
    agree = kept.sign() == sign
    return (kept * scales * agree).sum(0) / agree.sum(0).clamp(min=1)


def _largest(vector: Tensor, density: float) -> Tensor:
    """The share of a task vector with the largest values; 0 elsewhere."""
    count = int(density * vector.numel())
    if density >= 1 or not vector.numel():
        return vector
    kept = torch.zeros_like(vector).flatten()
    places = vector.abs().flatten().topk(count).indices
    kept[places] = vector.flatten()[places]
    return kept.view_as(vector)


def _task_vector(base: str, reference: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's weights less the base's."""
    folder = Path(reference).expanduser()
    if (folder / "adapter_config.json").is_file():
        place = hub.resolve(base)
        lm = TextModel.load(place, precision="fp32").lm
        adapters = Adapters(lm, lora_files.names_of(place, lm))
        peft_files.load(adapters, reference, folder)
        if read_json(folder / "adapter_config.json").get("peft_type") != "LORA":
            raise BadRequest(f"{reference} is an adapter that cannot be merged; give a LoRA, or a model")
        adapters.merge(reference)
    else:
        lm = TextModel.load(hub.resolve(reference), precision="fp32").lm
    theirs = dict(lm.named_parameters())
    if {name: weight.shape for name, weight in theirs.items()} != {name: weight.shape for name, weight in own.items()}:
        raise BadRequest(f"{reference} has other layers than {base}; merge models that were tuned from one base")
    return {name: theirs[name].detach() - weight for name, weight in own.items()}
