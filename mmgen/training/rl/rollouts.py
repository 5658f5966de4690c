"""Answers of a policy as its weights are now, drawn by the engine: many prompts and answers in every pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmgen.clients.text import TextClient
from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.models.cpu.bf16 import bf16_products
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import AdaptedLayer, LoraLayer
from mmgen.models.lm.text_model import TextModel
from mmgen.runners.generation import GenerationResult, TextRequest
from mmgen.runtime import Runtime
from mmgen.text_params import TextParams

SEEDS = 1_000_003


class Rollouts:
    """A second model of the policy's shape, packed for the processor's kernels, that is given its weights in memory."""

    def __init__(self, rt: Runtime, text: TextModel, folder: Path, reference: str, precision: str = "fp32") -> None:
        """
        Args:
            rt: whose engine draws the answers, beside whatever else it does.
            text: the model before it was prepared for training.
            folder, reference: where it came from.
            precision: "bf16": the blocks' products of factors rounded to it, on a CPU; the head's stay fp32.

        Raises BadRequest for a model whose keys and values do not lie in our blocks.
        """
        self.rt, self.precision = rt, precision
        self.shape = copy.deepcopy(text.lm).requires_grad_(False)
        self.text = TextModel(self._packed(), text.tokenizer, {"eos_token_id": sorted(text.eos_ids)}, text.name, text.template)
        self.client = TextClient(rt.host, f"policy of {reference}", reference, folder, self.text)
        runner = self.client.block_runner
        if runner is None:
            raise BadRequest(f"{reference} keeps a cache of its own kind; take a model whose layers are ours")
        self.runner = runner

    def _packed(self) -> LanguageModel:
        """A model of the weights in `shape`: matrices laid out anew, everything else the same tensors."""
        made: LanguageModel = copy.deepcopy(self.shape, {id(tensor): tensor for tensor in self.shape.parameters()})
        if self.precision == "bf16" and made.device.type == "cpu":
            bf16_products(made.transformer, frozenset())
        made.pack()
        return made

    def refresh(self, policy: LanguageModel) -> None:
        """From now on answers are the policy's as it is now, a LoRA adapter of it included."""
        own = dict(self.shape.named_parameters())
        with torch.no_grad():
            for name, weight in merged(policy):
                own[name].copy_(weight)
        self.text.lm = self._packed()
        self.rt.engine.call(self.runner.exchange, self.text.lm)

    def draw(self, prompts: Sequence[Sequence[int]], params: TextParams, seed: int) -> list[GenerationResult]:
        """`params.n` answers to each prompt. Answers of a prompt depend on the seed and its place, on nothing else."""
        requests = [
            self.client.submit(TextRequest(list(ids), params), Request.new(priority="batch"), seed * SEEDS + number)
            for number, ids in enumerate(prompts)
        ]
        try:
            return [handle.result() for handle in requests]
        except BaseException:
            for handle in requests:
                handle.cancel()
            raise


def merged(policy: LanguageModel) -> Iterator[tuple[str, Tensor]]:
    """The weights by name as if there were no adapters, what the tuned one adds included."""
    adapted = {name: layer for name, layer in policy.named_modules() if isinstance(layer, AdaptedLayer)}
    for name, weight in policy.named_parameters():
        place = next((one for one in adapted if name.startswith(f"{one}.")), None)
        if place is None:
            yield name, weight
        elif name.startswith(f"{place}.base."):
            added: Tensor = weight
            if name.endswith(".weight"):
                for part in adapted[place].parts.values():
                    for lora in part.children():
                        assert isinstance(lora, LoraLayer), "a recipe tunes with LoRA alone"
                        added = added + lora.product().to(weight.dtype)
            yield name.replace(f"{place}.base.", f"{place}."), added
