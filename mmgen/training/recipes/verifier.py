"""Verifier recipe: a cross-encoder learns whether the sentences around a reader's answer support it.

Each question comes with two answers, one that its evidence supports and one that it does not (evidence_pairs.py), so the loss
compares both: binary cross-entropy, and the logistic loss of their difference.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.encoders.cross_encoder import CrossEncoder, CrossEncoderNetwork
from mmgen.training import loop, mixed_precision
from mmgen.training.data.evidence_pairs import EvidencePair, EvidencePairs, shown, span
from mmgen.training.data.near_words import NearWords
from mmgen.training.data.recombined import recombined
from mmgen.training.data.tricks import read_tricks
from mmgen.training.eval.qa_metrics import auroc
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.recipes import reader
from mmgen.training.recipes.reader import ReaderRecipe
from mmgen.training.recipes.rerank import PairRows, order
from mmgen.training.run_log import RunLog

LONGEST_QUESTION = 64  # tokens


class VerifierRecipe(LoopRecipe):
    """configs/train/verifier-cpu.yaml; `batch` counts questions"""

    out: Path = Path("runs/verifier")
    start: str = "embedded:rerank"  # the cross-encoder to go on from
    data: Path | None = None  # folder with squadshifts/, qamr/ ...
    sources: dict[str, float] = Field(default_factory=dict)  # data set -> share of its questions
    held_out: float = 0.10  # share of new_wiki's titles that are kept for the reported figures
    development: float = 0.06  # further titles, for validation and calibration
    tricks: Path | None = None  # unanswerable questions written by hand, of passages of the sources
    tricks_share: float = Field(default=0.25, ge=0, le=1)  # of the questions of a step, where there are such
    evidence_tokens: int = Field(default=128, ge=16)  # of an answer with its surroundings
    compared_weight: float = 0.5  # of the loss of the difference
    frozen_layers: int = Field(default=0, ge=0)  # of the transformer, from the embeddings up, that stay as they are

    def titles(self) -> ReaderRecipe:
        """What the reader's recipe needs to part held-out titles from the others."""
        return ReaderRecipe(sources=self.sources, held_out=self.held_out, development=self.development)


@dataclass
class VerifierBatch:
    """Rows of answers with their surroundings."""

    rows: PairRows
    supported: Tensor  # (B,) 1 where the answer is right, else 0
    compared: Tensor  # (C, 2) rows of one question: a supported one, and one that is not

    def to(self, device: torch.device) -> VerifierBatch:
        return VerifierBatch(self.rows.to(device), self.supported.to(device), self.compared.to(device))


class VerifierLoss(nn.Module):
    """Binary cross-entropy, plus a share of -log sigmoid(supported - unsupported) of the same question."""

    def __init__(self, network: CrossEncoderNetwork, compared_weight: float) -> None:
        super().__init__()
        self.network, self.weight = network, compared_weight

    def forward(self, batch: VerifierBatch) -> dict[str, Tensor]:
        logits = self.scored(batch.rows)
        binary = F.binary_cross_entropy_with_logits(logits, batch.supported)
        margins = logits[batch.compared[:, 0]] - logits[batch.compared[:, 1]]
        compared = -F.logsigmoid(margins).sum() / max(1, len(margins))
        first = (margins > 0).float().sum() / max(1, len(margins))
        return {"loss": binary + self.weight * compared, "binary": binary, "compared": compared, "first": first}

    def scored(self, rows: PairRows) -> Tensor:
        """(B,) logits"""
        return self.network.padded(rows.ids, rows.types, rows.lengths).float()


class VerifierRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "nats an answer"
    plotted: tuple[str, ...] = ("binary", "compared", "recombined AUROC")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: VerifierRecipe, device: torch.device | str = "cpu") -> None:
        if recipe.data is None:
            raise BadRequest("no data; give --data the folder that holds squadshifts/, qamr/ and the others")
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.start = CrossEncoder.load(hub.resolve(recipe.start), device=str(device))
        self.model, titles, rng = self.start.network.train(), recipe.titles(), random.Random(recipe.seed)
        questions = reader.training_questions(titles, recipe.data)
        written = read_tricks(recipe.tricks, questions) if recipe.tricks else []
        self.tricks, self.answerable = [q for q in written if q.kind], [q for q in written if not q.kind]
        some = [q for q in questions if rng.random() < recipe.sources[q.source]]
        words = NearWords(self.model.transformer.embed.words.weight.detach(), self.start.tokenizer)
        self.evidence = EvidencePairs.of(some, words)
        if not self.evidence.questions:
            raise BadRequest("no question has an answer that stands in its passage; give more data")
        self.kept = [q for q in reader.held_out(titles, recipe.data)[0] if span(q, rng)][:256]
        recipe.out.mkdir(parents=True, exist_ok=True)
        reader.freeze(self.model, recipe.frozen_layers)
        self.model.transformer.embed.words.weight.requires_grad_(False)
        self.loss = VerifierLoss(self.model, recipe.compared_weight)
        learned = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.dim() > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learned if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.schedule.peak, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[VerifierBatch, float]]:
        """Pairs of like length are padded together."""
        rng, count = random.Random(f"{self.recipe.seed}/{step}/{process}"), len(self.evidence.questions)
        drawn = []
        for number in self.recipe.numbers(step, process, processes):
            epoch, at = divmod(number, count)
            if self.tricks and rng.random() < self.recipe.tricks_share:
                drawn.append(self.evidence.trick(rng.choice(self.tricks), self.answerable, rng))
            else:
                drawn.append(self.evidence.draw(order(f"{self.recipe.seed}/{epoch}", count)[at], rng))
        made = sorted(drawn, key=lambda pairs: max(len(p.question) + len(p.text) for p in pairs))
        chunks = self.recipe.chunks(made)
        return [(self._collate(chunk), len(chunk) / len(made)) for chunk in chunks]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        """AUROC of answers to development questions as they were asked against the same ones recombined."""
        if not self.kept:
            return
        asked, made = self.kept, recombined(self.kept, random.Random(0))
        logits = [self._logits([shown(q, random.Random(0), True) for q in some]) for some in (asked, made)]
        record.note(step, {"recombined AUROC": auroc(*logits)})

    def export(self, folder: Path) -> None:
        """As a reader's `verifier` names it."""
        start = self.start
        CrossEncoder(self.model, start.tokenizer, start.max_tokens, base=start.base, share=start.share).save(
            folder, "embedded:reader" if self.recipe.frozen_layers else ""
        )

    def _logits(self, pairs: Sequence[EvidencePair]) -> list[float]:
        device = next(self.model.parameters()).device
        parts = [self._collate([[pair] for pair in pairs[at : at + 32]]).rows for at in range(0, len(pairs), 32)]
        return [logit for rows in parts for logit in self.loss.scored(rows.to(device)).tolist()]

    def _collate(self, drawn: Sequence[Sequence[EvidencePair]]) -> VerifierBatch:
        pairs = [pair for some in drawn for pair in some]
        encode, (cls, sep) = self.start.tokenizer.encode_many, self.start.tokenizer.ends()
        asked, texts = encode([pair.question for pair in pairs]), encode([pair.text for pair in pairs])
        most = self.recipe.evidence_tokens
        rows = [([cls, *q.ids[:LONGEST_QUESTION], sep], [*text.ids[:most], sep]) for q, text in zip(asked, texts, strict=True)]
        compared, at = [], 0
        for some in drawn:
            places = {pair.supported: at + n for n, pair in enumerate(some)}
            compared += [[places[True], places[False]]] if len(places) == 2 else []
            at += len(some)
        labels = torch.tensor([float(pair.supported) for pair in pairs])
        return VerifierBatch(PairRows.of(rows), labels, torch.tensor(compared, dtype=torch.long).view(-1, 2))


def train(recipe: VerifierRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png, checkpoints and OUT/model."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = VerifierRun(recipe, accelerator.device)
    finished = loop.run(recipe, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
    if finished and accelerator.is_main_process:
        task.export(recipe.out / "model")
    return finished
