"""Parameters trained by fine-tuning: all weights, a LoRA adapter, or a prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.models.checkpoints.quantized import copy_tokenizer
from mmgen.models.lm import language_model, lora_files
from mmgen.models.lm.adapters import prefix_tuning
from mmgen.models.lm.adapters.prefix_tuning import Prefix
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.text_model import TextModel
from mmgen.training.data import chat_data
from mmgen.training.loop import LoopRecipe
from mmgen.training.packed_attention import PackedAttention
from mmgen.training.shared_prompts import SharedPrompts

NAME = "tuned"


class TuningConfig(Config):
    """The `tuning` section of a recipe."""

    kind: Literal["full", "lora", "prefix"] = "lora"
    rank: int = Field(default=8, ge=1)  # lora
    alpha: float = Field(default=16.0, gt=0)
    targets: tuple[str, ...] | None = None  # ends of the names of linear layers, as the family has them; None: all of them
    tokens: int = Field(default=16, ge=1)  # prefix


class TuningRecipe(LoopRecipe):
    """Options of fine-tuning recipes."""

    base: str  # a model reference
    data: Path | None = None  # JSON lines
    tuning: TuningConfig = TuningConfig()
    held_out: float = Field(default=0.05, ge=0, lt=1)  # share of the conversations, the last ones of the file


class TunedModel(Protocol):
    """A model during fine-tuning."""

    def learned(self) -> nn.Module: ...  # trained parameters, saved in checkpoints
    def hidden(self, ids: Tensor, tuned: bool = True, shared: SharedPrompts | None = None) -> Tensor:
        """(B, N) -> (B, N, D). `tuned` False: by the base model. `shared`: how the tokens of one row (1, N) stand together."""
        ...

    def save(self, folder: Path) -> None: ...


class FullFinetuning:
    """Trains all weights; a frozen copy of the base model is loaded only if `frozen`."""

    def __init__(self, model: TextModel, base: Path, frozen: bool) -> None:
        self.model, self.base = model, base
        self.before = TextModel.load(base, str(model.device), precision="fp32").lm.requires_grad_(False) if frozen else None

    def learned(self) -> nn.Module:
        return self.model.lm

    def hidden(self, ids: Tensor, tuned: bool = True, shared: SharedPrompts | None = None) -> Tensor:
        lm = self.model.lm if tuned else self.before
        assert lm is not None, "the frozen base model was not loaded"
        return _passed(lm, ids, shared)

    def save(self, folder: Path) -> None:
        save_model(self.model, self.base, folder)


class LoraFinetuning:
    """Trains a LoRA adapter; the base weights are frozen."""

    def __init__(self, model: TextModel, base: Path, reference: str, tuning: TuningConfig) -> None:
        self.model, self.base, self.reference = model, base, reference
        model.lm.requires_grad_(False)
        self.adapters = Adapters(model.lm, lora_files.names_of(base, model.lm))
        self.adapters.add(NAME, rank=tuning.rank, alpha=tuning.alpha, targets=tuning.targets)

    def learned(self) -> nn.Module:
        return nn.ModuleDict({ours.replace(".", "/"): lora for ours, lora in self.adapters.layers(NAME).items()})

    def hidden(self, ids: Tensor, tuned: bool = True, shared: SharedPrompts | None = None) -> Tensor:
        self.adapters.choice.rows = self.adapters.numbers[NAME] if tuned else None  # kept set, for activation checkpointing
        return _passed(self.model.lm, ids, shared)

    def save(self, folder: Path) -> None:
        lora_files.save(self.adapters, NAME, folder, self.reference)
        _copy_tokenizer(self.model, self.base, folder)


class PrefixFinetuning:
    """Prefix tuning (Li and Liang 2021): trains keys and values placed before every text."""

    def __init__(self, model: TextModel, base: Path, reference: str, tuning: TuningConfig) -> None:
        self.model, self.base, self.reference = model, base, reference
        model.lm.requires_grad_(False)
        self.prefix = Prefix(model.lm.config, tuning.tokens).to(model.device)
        self.prefix.begin(model.lm)

    def learned(self) -> nn.Module:
        return self.prefix

    def hidden(self, ids: Tensor, tuned: bool = True, shared: SharedPrompts | None = None) -> Tensor:
        assert shared is None, "a prefix stands before each text of its own"
        return self.model.lm.hidden(ids, cache=self.prefix.cache(len(ids)) if tuned else None)

    def save(self, folder: Path) -> None:
        prefix_tuning.save(self.prefix, folder, self.reference)
        _copy_tokenizer(self.model, self.base, folder)


def load_base(recipe: TuningRecipe, device: torch.device | str = "cpu") -> TextModel:
    """Seeds torch and loads the base model, with a chat template."""
    torch.manual_seed(recipe.seed)
    return chat_data.with_template(TextModel.load(hub.resolve(recipe.base), str(device), recipe.base, "fp32"))


def tune(recipe: TuningRecipe, model: TextModel, *, frozen: bool = False) -> TunedModel:
    """`frozen`: also keep the base model, as a reference."""
    base, kind = hub.resolve(recipe.base), recipe.tuning.kind
    model.lm.transformer.checkpointing = recipe.activation_checkpointing and kind != "prefix"  # its cache grows once a pass
    if model.lm.config.encoder is not None:
        raise BadRequest(f"{recipe.base} is an encoder-decoder; causal language models are tuned here")
    if kind == "full":
        return FullFinetuning(model, base, frozen)
    return (LoraFinetuning if kind == "lora" else PrefixFinetuning)(model, base, recipe.base, recipe.tuning)


def max_conversation_tokens(recipe: TuningRecipe, model: TextModel) -> int:
    """Tokens of the longest conversation that fits."""
    return model.max_tokens - (recipe.tuning.tokens if recipe.tuning.kind == "prefix" else 0)


def save_model(model: TextModel, base: Path, folder: Path) -> None:
    """A model with the tokenizer of the one it was made from, in that one's family."""
    family = lora_files.family_of(base)
    special = {"eos_token_id": sorted(model.eos_ids), "bos_token_id": model.bos_id}
    language_model.save(model.lm, folder, family, special)
    _copy_tokenizer(model, base, folder)


def _passed(lm: LanguageModel, ids: Tensor, shared: SharedPrompts | None) -> Tensor:
    if shared is not None:
        return lm.hidden(ids, shared, positions=shared.positions)
    return lm.hidden(ids, PackedAttention(), positions=torch.arange(ids.shape[1], device=ids.device))


def _copy_tokenizer(model: TextModel, base: Path, folder: Path) -> None:
    """Copies the tokenizer's files and writes the chat template."""
    copy_tokenizer(base, folder)
    if not (folder / "tokenizer.json").is_file():  # another kind's, which was converted
        model.tokenizer.fast.save(str(folder / "tokenizer.json"))
    if model.template:
        (folder / "chat_template.jinja").write_text(model.template.text, encoding="utf-8")
