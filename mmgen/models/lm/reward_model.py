"""Reward model: a language model whose state at the end of a conversation becomes rewards (Ouyang et al. 2022)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.lm import lora_files
from mmgen.models.lm.adapters import peft_files
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.text_model import TextModel

SETTINGS, HEAD = "reward.json", "reward_head.safetensors"
ADAPTER = "reward"


class RewardHead(nn.Module):
    """A linear layer without a bias, which differences of rewards would not see: (B, D) -> (B, objectives)."""

    def __init__(self, width: int, objectives: Sequence[str]) -> None:
        super().__init__()
        self.objectives = tuple(objectives)
        self.weight = nn.Parameter(torch.zeros(len(objectives), width))

    def forward(self, states: Tensor) -> Tensor:
        return states.float() @ self.weight.T


class RewardModel:
    """A language model, an adapter of it where one was trained, and the head: conversations in, rewards out."""

    pads = False  # a row is read by itself

    def __init__(
        self,
        text: TextModel,
        head: RewardHead,
        *,
        adapters: Adapters | None = None,
        temperature: float = 1.0,
        weights: Mapping[str, float] = {},
    ) -> None:
        """
        Args:
            adapters: of `text`, with one called ADAPTER.
            temperature: differences of rewards are divided by it where they become probabilities.
            weights: of the objectives in the one number that a conversation gets; 1 where one is not named.
        """
        self.text, self.head, self.adapters, self.temperature = text, head.eval(), adapters, temperature
        self.weights = torch.tensor([weights.get(one, 1.0) for one in head.objectives])
        self.name = text.name

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "") -> RewardModel:
        """A folder that `mmgen train reward` wrote. Raises BadWeights for another one."""
        if not (folder / SETTINGS).is_file():
            raise BadWeights(f"{folder} holds no {SETTINGS}; give the OUT/model of `mmgen train reward`")
        settings = safetensors_io.read_json(folder / SETTINGS)
        try:
            objectives, base, temperature = list(settings["objectives"]), str(settings["base"]), float(settings["temperature"])
        except (KeyError, TypeError, ValueError) as why:
            raise BadWeights(f"{folder / SETTINGS} is no reward model's ({why})") from None
        adapted = (folder / "adapter_config.json").is_file()
        place = hub.resolve(base) if adapted else folder
        text, adapters = TextModel.load(place, device, name or folder.name, "fp32"), None
        if adapted:
            adapters = Adapters(text.lm, lora_files.names_of(place, text.lm))
            peft_files.load(adapters, ADAPTER, folder)
            text.template = ChatTemplate.of(folder)
        head = RewardHead(text.lm.config.hidden_size, objectives).to(device)
        safetensors_io.fill(head, safetensors_io.read(folder / HEAD))
        return cls(text, head, adapters=adapters, temperature=temperature, weights=settings.get("weights", {}))

    def encode(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """A conversation's ids, its last answer with its end. Raises TooLong for one that the model cannot read."""
        text = self.text.render_chat(messages, add_generation_prompt=False)
        self.text.check_length(text)
        return self.text.tokenizer.encode(text).ids

    @torch.inference_mode()
    def score_rows(self, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """Conversations' ids -> rewards (objectives,) of each; each is read by itself, so that its bits are its own."""
        if self.adapters is not None:
            self.adapters.choice.rows = self.adapters.numbers[ADAPTER]
        return [self.head(self.text.lm.hidden(torch.tensor([row], device=self.text.device))[:, -1])[0].cpu() for row in rows]


def save(folder: Path, head: RewardHead, *, base: str, temperature: float, weights: Mapping[str, float]) -> None:
    """Writes the head and settings beside a model or an adapter. `base`: the reference of an adapter's model."""
    from safetensors.torch import save_file

    save_file({"weight": head.weight.detach().float().contiguous().cpu()}, folder / HEAD, metadata={"format": "pt"})
    told = {"objectives": list(head.objectives), "base": base, "temperature": temperature, "weights": dict(weights)}
    (folder / SETTINGS).write_text(json.dumps(told, indent=2) + "\n")
