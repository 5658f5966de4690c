"""Cross-encoder recipe: learns to score the passage that answers a question above hard negatives, and to tell an answer that
its surroundings support from one that they do not."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.encoders.cross_encoder import CrossEncoder, CrossEncoderNetwork
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.lm.tokenizer import TokenizedText
from mmgen.models.reader.model import ReaderModel
from mmgen.training import loop, mixed_precision
from mmgen.training.data.evidence_pairs import EvidencePair, EvidencePairs, shown, span
from mmgen.training.data.qa_data import Corpus, Question
from mmgen.training.data.recombined import recombined
from mmgen.training.eval.qa_metrics import auroc
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.recipes import reader
from mmgen.training.recipes.reader import ReaderRecipe
from mmgen.training.run_log import RunLog

ROUND = 16  # padded lengths are multiples of it


class RerankRecipe(LoopRecipe):
    """configs/train/rerank-cpu.yaml"""

    out: Path = Path("runs/rerank")
    base: str = "embedded:minilm"  # the encoder whose word embeddings and tokenizer it shares
    start: str | None = None  # a reader of that base whose layers it starts from; None: the base's own
    data: Path | None = None  # folder with squadshifts/, qamr/ ...
    sources: dict[str, float] = Field(default_factory=dict)  # data set -> share of its questions
    held_out: float = 0.10  # share of new_wiki's titles that are kept for the reported figures
    development: float = 0.06  # further titles, for validation
    share: float = Field(default=1.0, gt=0, le=1)  # of an order of passages that is to be its; the rest is the search's
    negatives: int = Field(default=3, ge=1, le=8)  # passages without the answer, for each question
    mined_by: Literal["encoder", "words"] = "encoder"  # which are near the question; the base encoder takes minutes for it
    window: int = Field(default=192, ge=16)  # tokens of a passage
    binary_weight: float = 0.3  # of the loss that makes a score a probability by itself
    batch: int = Field(default=16, ge=1)  # questions a step
    evidence: int = Field(default=0, ge=0)  # further questions a step, whose answers are judged by what stands around them
    evidence_sources: dict[str, float] = Field(default_factory=dict)  # data set -> share of its questions, for that
    evidence_weight: float = 0.5  # of their loss
    evidence_tokens: int = Field(default=144, ge=16)  # of an answer with its surroundings
    frozen_layers: int = Field(default=0, ge=0)  # of the transformer, from the embeddings up, that stay as they are

    def titles(self) -> ReaderRecipe:
        """What the reader's recipe needs to part held-out titles from the others."""
        return ReaderRecipe(sources=self.sources, held_out=self.held_out, development=self.development)


@dataclass
class PairRows:
    """Padded rows of a question and a text."""

    ids: Tensor  # (B, N)
    types: Tensor  # (B, N): 0 in the question, 1 in the text
    lengths: Tensor  # (B,)

    @classmethod
    def of(cls, rows: Sequence[tuple[list[int], list[int]]]) -> PairRows:
        """Rows of ([CLS] question [SEP], text [SEP])."""
        lengths = torch.tensor([len(front) + len(text) for front, text in rows])
        size = -(-int(lengths.max()) // ROUND) * ROUND
        ids, types = torch.zeros(len(rows), size, dtype=torch.long), torch.zeros(len(rows), size, dtype=torch.long)
        for n, (front, text) in enumerate(rows):
            ids[n, : len(front) + len(text)] = torch.tensor(front + text)
            types[n, len(front) : len(front) + len(text)] = 1
        return cls(ids, types, lengths)

    def to(self, device: torch.device) -> PairRows:
        return PairRows(self.ids.to(device), self.types.to(device), self.lengths.to(device))


@dataclass
class RankingBatch:
    """Questions with their passages: rows of a question stand together, the one that answers it first. Beside them answers with
    their surroundings."""

    rows: PairRows  # B * (1 + negatives)
    evidence: PairRows | None = None
    supported: Tensor | None = None  # of each row of `evidence`: 1 where the answer is right, else 0

    def to(self, device: torch.device) -> RankingBatch:
        if self.evidence is None or self.supported is None:
            return RankingBatch(self.rows.to(device))
        return RankingBatch(self.rows.to(device), self.evidence.to(device), self.supported.to(device))


class RankingLoss(nn.Module):
    """Cross-entropy of the answering passage among a question's passages, plus a share of binary cross-entropy; and a share of
    binary cross-entropy of "its surroundings support this answer"."""

    def __init__(self, network: CrossEncoderNetwork, group: int, binary_weight: float, evidence_weight: float = 0.5) -> None:
        super().__init__()
        self.network, self.group = network, group
        self.binary_weight, self.evidence_weight = binary_weight, evidence_weight

    def forward(self, batch: RankingBatch) -> dict[str, Tensor]:
        logits = self.scored(batch.rows).view(-1, self.group)
        right = torch.zeros_like(logits)
        right[:, 0] = 1
        ranking = F.cross_entropy(logits, right.argmax(1))
        binary = F.binary_cross_entropy_with_logits(logits, right)
        first = (logits.argmax(1) == 0).float().mean()
        told = {"ranking": ranking, "binary": binary, "first": first}
        loss = ranking + self.binary_weight * binary
        if batch.evidence is not None and batch.supported is not None:
            told["evidence"] = F.binary_cross_entropy_with_logits(self.scored(batch.evidence), batch.supported)
            loss = loss + self.evidence_weight * told["evidence"]
        return {"loss": loss, **told}

    def scored(self, rows: PairRows) -> Tensor:
        """(B,) logits"""
        return self.network.padded(rows.ids, rows.types, rows.lengths).float()


def start_from(encoder: SentenceEncoder, layers: str | None = None) -> CrossEncoderNetwork:
    """A network whose transformer is the encoder's or, with `layers`, a reader's; its word embeddings are not trained."""
    network = CrossEncoderNetwork(replace(encoder.config, token_types=2))
    source = (
        encoder.transformer if layers is None else ReaderModel.load(hub.resolve(layers), precision="fp32").reader.transformer
    )
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    state["embed.types.weight"] = state["embed.types.weight"][:2]
    network.transformer.load_state_dict(state)
    network.transformer.embed.words.weight.requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for layer in (network.pooler, network.classifier):
        nn.init.normal_(layer.weight, std=0.02, generator=generator)
        nn.init.zeros_(layer.bias)
    return network


class RerankRun(TaskHooks):
    """The `Task` of the loop."""

    ylabel = "nats a question"
    plotted: tuple[str, ...] = ("loss", "validation")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: RerankRecipe, device: torch.device | str = "cpu") -> None:
        if recipe.data is None:
            raise BadRequest("no data; give --data the folder that holds squadshifts/, qamr/ and the others")
        torch.manual_seed(recipe.seed)
        self.recipe, encoder = recipe, SentenceEncoder.load(hub.resolve(recipe.base), device=str(device))
        self.base, self.specials = encoder, (encoder.cls, encoder.sep)
        recipe.out.mkdir(parents=True, exist_ok=True)
        titles, rng = recipe.titles(), random.Random(recipe.seed)
        some = [q for q in reader.training_questions(titles, recipe.data) if rng.random() < recipe.sources[q.source]]
        kept, by = reader.held_out(titles, recipe.data)[0], recipe.mined_by
        self.corpus = mined(some, encoder, recipe.out / "negatives.json", by)
        self.kept = mined(kept, encoder, recipe.out / "negatives-held-out.json", by)
        self.rows = [n for n, found in enumerate(self.corpus.negatives) if len(found) >= recipe.negatives]
        if not self.rows:
            raise BadRequest(
                f"no question has {recipe.negatives} passages that do not answer it; give more data, or fewer negatives"
            )
        self.evidence = EvidencePairs.of(evidence_questions(recipe) if recipe.evidence else [])
        self.model = start_from(encoder, recipe.start).to(device)
        reader.freeze(self.model, recipe.frozen_layers)
        self.loss = RankingLoss(self.model, 1 + recipe.negatives, recipe.binary_weight, recipe.evidence_weight)
        learned = [p for p in self.model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learned if p.dim() > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learned if p.dim() == 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.schedule.peak, betas=recipe.betas)

    def parts(self, step: int, process: int, processes: int) -> list[tuple[RankingBatch, float]]:
        chosen = [self._question(number) for number in self.recipe.numbers(step, process, processes)]
        chunks = self.recipe.chunks(chosen)
        rng = random.Random(f"{self.recipe.seed}/{step}/{process}")
        made = [(self._collate(chunk, self.corpus, rng), len(chunk) / len(chosen)) for chunk in chunks]
        drawn = self._drawn(step, process, processes, rng)
        return [(self._beside(batch, drawn[n :: len(made)]), share) for n, (batch, share) in enumerate(made)]

    def validate(self, step: int, record: RunLog, progress: dict[str, Any]) -> None:
        rng, questions = random.Random(0), range(len(self.kept.questions))
        usable = [n for n in questions if len(self.kept.negatives[n]) >= self.recipe.negatives][:256]
        if not usable:
            return
        chunks = [usable[at : at + 16] for at in range(0, len(usable), 16)]
        device = next(self.model.parameters()).device
        losses = [self.loss(self._collate(chunk, self.kept, rng).to(device)) for chunk in chunks]
        mean = {
            name: sum(float(one[name]) * len(c) for one, c in zip(losses, chunks, strict=True)) / len(usable)
            for name in losses[0]
        }
        noted = {"validation": mean["loss"], "validation first": mean["first"]}
        if self.recipe.evidence:
            noted["validation evidence AUROC"] = self._told_apart(rng)
        record.note(step, noted)

    def export(self, folder: Path) -> None:
        """As `mmgen --rerank FOLDER` reads it."""
        size, base, share = self.model.transformer.config.max_tokens, self.recipe.base, self.recipe.share
        CrossEncoder(self.model, self.base.tokenizer, size, base=base, share=share).save(
            folder, "embedded:reader" if self.recipe.frozen_layers else ""
        )

    def _question(self, number: int) -> int:
        epoch, at = divmod(number, len(self.rows))
        return self.rows[order(f"{self.recipe.seed}/{epoch}", len(self.rows))[at]]

    def _drawn(self, step: int, process: int, processes: int, rng: random.Random) -> list[EvidencePair]:
        """A step's pairs of answers and their surroundings."""
        count = len(self.evidence.questions)
        if not count:
            return []
        size = self.recipe.evidence
        numbers = [divmod(number, count) for number in range(step * size, (step + 1) * size)][process::processes]
        asked = [order(f"{self.recipe.seed}/evidence/{epoch}", count)[at] for epoch, at in numbers]
        return [pair for question in asked for pair in self.evidence.draw(question, rng)]

    def _beside(self, batch: RankingBatch, pairs: Sequence[EvidencePair]) -> RankingBatch:
        if not pairs:
            return batch
        labels = torch.tensor([float(pair.supported) for pair in pairs])
        return RankingBatch(batch.rows, self._evidence_rows(pairs), labels)

    def _evidence_rows(self, pairs: Sequence[EvidencePair]) -> PairRows:
        (cls, sep), encode = self.specials, self.base.tokenizer.encode_many
        asked, texts = encode([pair.question for pair in pairs]), encode([pair.text for pair in pairs])
        most = self.recipe.evidence_tokens
        return PairRows.of([([cls, *q.ids[:64], sep], [*text.ids[:most], sep]) for q, text in zip(asked, texts, strict=True)])

    def _told_apart(self, rng: random.Random) -> float:
        """AUROC of answers to development questions as they were asked against the same ones recombined."""
        questions = [q for q in self.kept.questions if span(q, rng)][:128]
        device, logits = next(self.model.parameters()).device, []
        for some in (questions, recombined(questions, random.Random(0))):
            pairs = [shown(q, random.Random(0), True) for q in some]
            rows = [self._evidence_rows(pairs[at : at + 32]).to(device) for at in range(0, len(pairs), 32)]
            logits.append([logit for part in rows for logit in self.loss.scored(part).tolist()])
        return auroc(*logits)

    def _collate(self, chosen: Sequence[int], corpus: Corpus, rng: random.Random) -> RankingBatch:
        cls, sep = self.specials
        rows = []
        for question in chosen:
            front = [cls, *corpus.question_tokens[question].ids[:64], sep]
            own, answer = corpus.context_of[question], span(corpus.questions[question], rng)
            passages = [(own, answer), *((n, None) for n in rng.sample(corpus.negatives[question], self.recipe.negatives))]
            rows += [(front, [*self._window(corpus.context_tokens[n], answer, rng), sep]) for n, answer in passages]
        return RankingBatch(PairRows.of(rows))

    def _window(self, passage: TokenizedText, answer: tuple[int, int] | None, rng: random.Random) -> list[int]:
        """A part of a long passage, with the answer if there is one."""
        size, length = self.recipe.window, len(passage.ids)
        low, high = 0, max(0, length - size)
        if answer is not None:
            inside = [n for n, (a, b) in enumerate(passage.spans) if a < answer[1] and b > answer[0]]
            if inside:
                low, high = min(max(0, inside[-1] - size + 1), high), min(inside[0], high)
        first = rng.randint(min(low, high), high)
        return passage.ids[first : first + size]


def evidence_questions(recipe: RerankRecipe) -> list[Question]:
    """The questions whose answers are judged by what stands around them."""
    assert recipe.data is not None
    sources = ReaderRecipe(sources=recipe.evidence_sources, held_out=recipe.held_out, development=recipe.development)
    rng = random.Random(recipe.seed)
    return [q for q in reader.training_questions(sources, recipe.data) if rng.random() < recipe.evidence_sources[q.source]]


@lru_cache(maxsize=2)
def order(seed: str, count: int) -> list[int]:
    """Of an epoch's questions."""
    return random.Random(seed).sample(range(count), count)


def mined(questions: list[Question], encoder: SentenceEncoder, path: Path, by: str = "encoder") -> Corpus:
    """Questions with the nearest passages that hold none of their answers; those are kept in a file.

    by: "encoder", by cosine of its embeddings, or "words", by TF-IDF.
    """
    corpus = Corpus.build(questions, encoder.tokenizer)
    if by == "words":
        reader.mine_by_words(corpus, path)
        return corpus
    if path.is_file():
        corpus.negatives = json.loads(path.read_text())
    if len(corpus.negatives) != len(questions):
        corpus.negatives = []
        corpus.find_negatives(encoder.embed_text([q.text for q in questions]), encoder.embed_text(corpus.contexts))
        path.write_text(json.dumps(corpus.negatives))
    return corpus


def train(recipe: RerankRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png, checkpoints and OUT/model."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = RerankRun(recipe, accelerator.device)
    finished = loop.run(recipe, task, RunLog(recipe.out, recipe.steps), accelerator, stop_after_minutes)
    if finished and accelerator.is_main_process:
        task.export(recipe.out / "model")
    return finished
