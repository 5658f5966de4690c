"""Adapters of language models as PEFT writes them, of every kind that is served here. Reads safetensors only."""

from __future__ import annotations

import copy
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.lm.adapters import prefix_tuning
from mmgen.models.lm.adapters.parts import EmbeddingLora, Magnitude, OwnModule, OwnWeights, ScaledInput, ScaledOutput, row_norms
from mmgen.models.lm.architectures.text_parts import plain
from mmgen.models.lm.lora import AdaptedLayer, Adapters, AdapterSite
from mmgen.models.quantization.block_layers import BlockEmbedding

log = logging.getLogger(__name__)
START = "base_model.model."
"""How PEFT begins every name."""
KINDS = re.compile(
    r"(?P<module>.+?)\.(?P<kind>lora_A\.weight|lora_B\.weight|lora_magnitude_vector|lora_embedding_A|lora_embedding_B|ia3_l"
    r"|base_layer\.weight|base_layer\.bias|weight|bias)"
)
SEEING = re.compile(r"(^|\.)(vision_tower|vision_model|visual|multi_modal_projector|audio_tower)\.")
"""Layers of a model that reads images too; text goes through none of them."""
LORA = ("lora_A.weight", "lora_B.weight")
UNKNOWN = (
    "layer_replication", "trainable_token_indices", "target_parameters", "lora_bias", "use_qalora", "use_bdlora",
    "arrow_config", "eva_config",
)  # fmt: skip
"""Settings of PEFT's LoRA that change what a model computes, and that ours has not."""
OTHER = "take an adapter made for this model"

Module = dict[str, Tensor]
"""What a file holds of one layer, by kind."""


def load(adapters: Adapters, name: str, folder: Path) -> None:
    """Adds an adapter. Raises BadWeights for a kind that we do not have, or one of another model, and keeps nothing of it."""
    values = safetensors_io.read_json(folder / "adapter_config.json")
    kind = str(values.get("peft_type"))
    if kind in prefix_tuning.KINDS:
        prefix = prefix_tuning.load(adapters.lm, folder).to(adapters.lm.device)
        adapters.enter(name, values)
        adapters.prefixes[name] = prefix
        return
    if kind not in ("LORA", "IA3"):
        raise BadWeights(f"{folder} is an adapter of the kind {kind}; LORA, IA3, {', '.join(prefix_tuning.KINDS)} are read")
    _check(values, folder)
    PeftAdapter(adapters, folder, values).enter(name)


def _check(values: Mapping[str, Any], folder: Path) -> None:
    odd = [key for key in UNKNOWN if values.get(key)]
    if values.get("bias", "none") != "none":
        odd.append("biases")
    if odd:
        raise BadWeights(f"{folder} uses {', '.join(odd)}, which our adapters have not; merge it into its model with PEFT")


class PeftAdapter:
    """An adapter's file, compared with the model that it is for. All checks come before the first change."""

    def __init__(self, adapters: Adapters, folder: Path, values: Mapping[str, Any]) -> None:
        self.adapters, self.folder, self.values = adapters, folder, values
        self.modules = _modules(safetensors_io.read(folder / "adapter_model.safetensors"), folder)
        known = {one for place in adapters.places.values() for one in place.rows} | set(adapters.whole)
        known |= set(adapters.head.rows) if adapters.head else set()
        if unknown := sorted(self.modules.keys() - known):
            raise BadWeights(f"{folder} names {safetensors_io.some(unknown)}, which this model has not; {OTHER}")
        self.sites: dict[str, list[str]] = {}  # our linear layers -> their layers that the file has
        for ours, place in [*adapters.places.items(), *([("head", adapters.head)] if adapters.head else [])]:
            if found := [one for one in place.rows if one in self.modules]:
                self.sites[ours] = sorted(found, key=place.rows.__getitem__)
        for ours, found in self.sites.items():
            for one in found:
                self._fits(one, adapters.site(ours))
        for one in adapters.whole.keys() & self.modules.keys():
            self._fits_whole(one)

    def enter(self, name: str) -> None:
        kept = {key: self.values.get(key) for key in ("r", "lora_alpha", "target_modules", "use_rslora", "peft_type")}
        number = self.adapters.enter(name, kept)
        for ours, found in self.sites.items():
            self._own(ours, number, found)
            if lora := [one for one in found if LORA[0] in self.modules[one]]:
                self._lora(ours, number, lora)
            self._scaled(ours, number, [one for one in found if "ia3_l" in self.modules[one]])
        for one, ours in self.adapters.whole.items():
            if one in self.modules:
                self._whole(ours, number, one)

    def _lora(self, ours: str, number: int, found: list[str]) -> None:
        place, ranks = self.adapters.site(ours), [len(self.modules[one][LORA[0]]) for one in found]
        layer = self.adapters.put(ours, number, found, ranks, [self._scale(one) for one in found])
        with torch.no_grad():
            for one, down, up in zip(found, layer.down, layer.up, strict=True):
                down.copy_(self.modules[one][LORA[0]])
                up.copy_(_ordered(place, self.modules[one][LORA[1]]))
        if not any("lora_magnitude_vector" in self.modules[one] for one in found):
            return
        norms, bias = row_norms(self._layer(ours), place.width, layer.product(), self.adapters.lm.device)
        gain = torch.ones_like(norms)
        for one in found:
            if (learned := self.modules[one].get("lora_magnitude_vector")) is not None:
                rows = slice(*place.rows[one])
                gain[rows] = _ordered(place, learned.flatten()).to(norms) / norms[rows]
        self.adapters.append(ours, number, Magnitude(gain, bias))

    def _scale(self, one: str) -> float:
        """alpha / rank, or by its root where the adapter is rank-stabilised; both may be told for each layer."""
        rank = len(self.modules[one][LORA[0]] if LORA[0] in self.modules[one] else self.modules[one]["lora_embedding_A"])
        alpha = float(self.values["lora_alpha"])
        for pattern, told in (self.values.get("alpha_pattern") or {}).items():
            if re.match(rf"(.*\.)?({pattern})$", one):
                alpha = float(told)
                break
        return alpha / (math.sqrt(rank) if self.values.get("use_rslora") else rank)

    def _scaled(self, ours: str, number: int, found: list[str]) -> None:
        place, gain = self.adapters.site(ours), torch.ones(self.adapters.site(ours).out)
        inputs = [one for one in found if self._reads(one)]
        for one in inputs:
            self.adapters.append(ours, number, ScaledInput(self.modules[one]["ia3_l"].flatten().float(), place.rows[one]))
        for one in set(found) - set(inputs):
            gain[slice(*place.rows[one])] = _ordered(place, self.modules[one]["ia3_l"].flatten()).float()
        if len(found) > len(inputs):
            self.adapters.append(ours, number, ScaledOutput(gain))

    def _reads(self, one: str) -> bool:
        """Whether IA3 scales what a layer reads instead of what it gives."""
        told = self.values.get("feedforward_modules") or ()
        if isinstance(told, str):
            return re.fullmatch(told, one) is not None
        return any(one == end or one.endswith(f".{end}") for end in told)

    def _own(self, ours: str, number: int, found: list[str]) -> None:
        place = self.adapters.site(ours)
        for one in found:
            kinds = self.modules[one]
            weight, bias = kinds.get("weight", kinds.get("base_layer.weight")), kinds.get("bias", kinds.get("base_layer.bias"))
            if weight is None or ("weight" not in kinds and self._is_base(ours, one, weight)):
                continue
            weight = place.theirs.joined([weight]) if len(place.rows) == 1 else weight
            bias = None if bias is None else _ordered(place, bias)
            self.adapters.append(ours, number, OwnWeights(weight.float(), bias, place.rows[one]))

    def _is_base(self, ours: str, one: str, weight: Tensor) -> bool:
        """Whether a layer that was saved along with its adapter is the model's own."""
        place, base = self.adapters.site(ours), self._layer(ours)
        x = torch.randn(2, place.width, generator=torch.Generator().manual_seed(0)).to(self.adapters.lm.device)
        given = place.theirs.joined([weight]) if len(place.rows) == 1 else weight
        nothing = base(torch.zeros_like(x))
        y = (base(x) - nothing)[:, slice(*place.rows[one])]
        return torch.allclose(y.float(), x.float() @ given.float().T.to(x.device), rtol=1e-2, atol=1e-2 * float(y.std()))

    @torch.no_grad()
    def _whole(self, ours: str, number: int, one: str) -> None:
        kinds, layer = self.modules[one], self._layer(ours)
        weight = kinds.get("weight", kinds.get("base_layer.weight"))
        if weight is not None and ("weight" in kinds or not _is(layer, weight)):
            if isinstance(layer, nn.Embedding | BlockEmbedding):
                own: nn.Module = nn.Embedding.from_pretrained(weight.float(), freeze=False)
            else:
                own = copy.deepcopy(layer)
                own.load_state_dict({key: kinds[key] for key in ("weight", "bias") if key in kinds})
            self.adapters.append(ours, number, OwnModule(own))
        if "lora_embedding_A" in kinds:
            down, up = kinds["lora_embedding_A"].float(), kinds["lora_embedding_B"].float()
            self.adapters.append(ours, number, EmbeddingLora(down, up, self._scale(one)))

    def _layer(self, ours: str) -> Any:
        """The model's own layer, whatever adapters make of it."""
        layer = self.adapters.lm.get_submodule(ours)
        return layer.base if isinstance(layer, AdaptedLayer) else layer

    def _fits(self, one: str, place: AdapterSite) -> None:
        """Raises BadWeights where a tensor of a linear layer is missing, or of another shape."""
        first, last = place.rows[one]
        kinds, out = self.modules[one], last - first
        if any(kind in kinds for kind in (*LORA, "lora_magnitude_vector")):
            rank = len(kinds[LORA[0]]) if LORA[0] in kinds else int(self.values["r"])
            self._expect(one, LORA[0], (rank, place.width))
            self._expect(one, LORA[1], (out, rank))
            if self.values.get("use_dora"):
                self._expect(one, "lora_magnitude_vector", (out,))
        if "ia3_l" in kinds and kinds["ia3_l"].numel() != (wanted := place.width if self._reads(one) else out):
            raise BadWeights(
                f"{self.folder}: {one}.ia3_l is {tuple(kinds['ia3_l'].shape)} instead of {wanted} numbers; {OTHER}"
            )
        for kind in ("weight", "base_layer.weight"):
            if kind in kinds:
                shape = (place.width, out) if place.theirs.transposed else (out, place.width)
                self._expect(one, kind, shape)

    def _fits_whole(self, one: str) -> None:
        kinds, layer = self.modules[one], self._layer(self.adapters.whole[one])
        embeds = isinstance(layer, nn.Embedding | BlockEmbedding)
        shape = (layer.num_embeddings, layer.embedding_dim) if embeds else tuple(layer.weight.shape)
        if "lora_magnitude_vector" in kinds:
            raise BadWeights(f"{self.folder} uses DoRA for {one}, which ours has for linear layers alone; merge it with PEFT")
        for kind in ("weight", "base_layer.weight"):
            if kind in kinds:
                self._expect(one, kind, shape)
        if "lora_embedding_A" in kinds or "lora_embedding_B" in kinds:
            rank = len(kinds["lora_embedding_A"]) if "lora_embedding_A" in kinds else int(self.values["r"])
            self._expect(one, "lora_embedding_A", (rank, shape[0]))
            self._expect(one, "lora_embedding_B", (shape[-1], rank))

    def _expect(self, one: str, kind: str, shape: tuple[int, ...]) -> None:
        found = self.modules[one].get(kind)
        if found is None or tuple(found.shape) != shape:
            told = "missing" if found is None else tuple(found.shape)
            raise BadWeights(f"{self.folder}: {one}.{kind.removesuffix('.weight')} is {told} instead of {shape}; {OTHER}")


def _modules(tensors: Mapping[str, Tensor], folder: Path) -> dict[str, Module]:
    """A file's tensors by the layer they are for. Raises BadWeights for one of no known kind."""
    found: dict[str, Module] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(START).replace(".lora_magnitude_vector.weight", ".lora_magnitude_vector")
        match = KINDS.fullmatch(name)
        if match is None:
            raise BadWeights(f"{folder} holds {key}, which is of no kind of adapter that is read here; merge it with PEFT")
        module = plain(f"{match['module']}.").removesuffix(".") or match["module"]
        found.setdefault(module, {})[match["kind"]] = tensor
    if seeing := [one for one in found if SEEING.search(one)]:
        log.warning("%s: %s are left out, which read images", folder, safetensors_io.some(sorted(seeing)))
        found = {one: kinds for one, kinds in found.items() if one not in seeing}
    if not found:
        raise BadWeights(f"{folder} holds no tensors of an adapter; save it again")
    return found


def _is(layer: Any, weight: Tensor) -> bool:
    """Whether a layer has exactly those weights; rounded ones are never the same."""
    return isinstance(layer, nn.Embedding) and torch.equal(layer.weight.float().cpu(), weight.float())


def _ordered(place: AdapterSite, rows: Tensor) -> Tensor:
    """Rows of a fused layer in our order, where a family's lie head by head."""
    theirs = place.theirs
    return theirs.joined([rows]) if theirs.heads or theirs.groups else rows
