"""Reader recipe: continues MiniLM as a prefix language model that copies answer spans."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mmgen import hub
from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.encoders.cross_encoder import CrossEncoderNetwork
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.reader.network import PASSAGE, PrefixBatch, ReaderNetwork
from mmgen.training import loop, mixed_precision
from mmgen.training.data.qa_data import (
    Corpus,
    Question,
    ReaderExample,
    plan_batches,
    plan_epoch,
    read_questions,
    titles_of,
    without_overlap,
)
from mmgen.training.data.recombined import recombined
from mmgen.training.data.unanswerable import WordPool, renamed, unanswerable
from mmgen.training.loop import LoopRecipe, TaskHooks
from mmgen.training.run_log import RunLog
from mmgen.training.schedules import LearningRateSchedule

NOWHERE = -100


class ReaderRecipe(BaseModel):
    """configs/train/reader-*.yaml"""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str = "embedded:minilm"  # an encoder to start from
    start: str = ""  # a reader with the same base to go on from: a folder or embedded:reader
    start_share: float = 0.0  # of the exported weights, that is its: 0 to 1
    frozen_layers: int = 0  # of the transformer, from the embeddings up, that stay as they are
    verifier: str = (
        ""  # reference of a cross-encoder that judges its answers by what stands around them; the confidence knows it
    )
    data: Path | None = None  # folder with squadshifts/, qamr/ ...
    out: Path = Path("runs/reader")
    sources: dict[str, float] = Field(default_factory=dict)  # data set -> share of its questions, each epoch
    held_out: float = 0.10  # share of new_wiki's titles kept for the reported figures
    development: float = 0.06  # further titles, for calibration
    windows: list[int] = [128, 192]  # passage tokens, epoch by epoch
    negatives: float = 0.3  # passages without the answer, for each with it
    altered: float = 0.5  # questions changed so that their own passage does not answer them, for each that it answers
    longest_answer: int = 24  # tokens
    longest_question: int = 40
    batch_tokens: int = 5000  # padded
    learning_rate: float = 3e-4
    floor: float = 0.02  # the last learning rate, as a share of the first
    minutes: float | None = None  # the whole run's; the learning rate then follows the clock, and `windows` repeat till then
    warmup: float = 0.05
    weight_decay: float = 0.01
    language_model_weight: float = 0.1
    verifier_weight: float = 0.5
    gradient_clip: float = 1.0
    mixed_precision: str = "no"
    activations: str = "fp32"  # int8: the exported reader multiplies in integers on a CPU
    seed: int = 0
    checkpoint_minutes: float = 5.0


@dataclass
class ReaderBatch:
    """One step's tensors."""

    rows: PrefixBatch
    answers: Tensor  # (B, M): [CLS], then the answer's tokens, padded
    start: Tensor  # (B,) place of the first answer token in the row; 0: not here
    copied: Tensor  # (B, M - 1) place in the row of each answer token, padded with 0
    stop: Tensor  # (B, M - 1) 1 at the last answer token, 0 before, NOWHERE after
    words: Tensor  # (B, M) next word, NOWHERE where there is none
    ends: Tensor  # (B,) number of its last answer token, counted from 0
    right: Tensor  # (B,) 1 where the answer is right, 0 where it is only plausible, NOWHERE where there is none

    def to(self, device: torch.device) -> ReaderBatch:
        r = self.rows
        rows = PrefixBatch(r.ids.to(device), r.types.to(device), r.lengths.to(device), r.starts.to(device))
        rest = (t.to(device) for t in (self.answers, self.start, self.copied, self.stop, self.words, self.ends, self.right))
        return ReaderBatch(rows, *rest)


def collate(batch: Sequence[ReaderExample], corpus: Corpus, cls: int, sep: int, longest_question: int) -> ReaderBatch:
    """Examples -> padded tensors."""
    rows, answers = [], []
    for e in batch:
        question = corpus.question_tokens[e.question].ids[:longest_question]
        rows.append(([cls, *question, sep], [*corpus.context_tokens[e.context].ids[e.first : e.last], sep]))
        answers.append(corpus.context_tokens[e.context].ids[e.start : e.end + 1] if e.start >= 0 else [])
    size = max(len(q) + len(p) for q, p in rows)
    steps = max(1, max(len(a) for a in answers))
    ids, types = torch.zeros(len(batch), size, dtype=torch.long), torch.zeros(len(batch), size, dtype=torch.long)
    starts = torch.zeros(len(batch), size, dtype=torch.bool)
    written = torch.full((len(batch), 1 + steps), cls)
    copied = torch.zeros(len(batch), steps, dtype=torch.long)
    stop, words = torch.full((len(batch), steps), NOWHERE), torch.full((len(batch), 1 + steps), NOWHERE)
    start, ends = torch.zeros(len(batch), dtype=torch.long), torch.zeros(len(batch), dtype=torch.long)
    right = torch.full((len(batch),), NOWHERE)
    for b, ((q, p), a, e) in enumerate(zip(rows, answers, batch, strict=True)):
        n, m = len(q) + len(p), len(a)
        ids[b, :n], types[b, len(q) : n] = torch.tensor(q + p), PASSAGE
        starts[b, 0], starts[b, len(q) : n - 1] = True, True
        if m:
            first = len(q) + e.start - e.first
            written[b, 1 : 1 + m] = torch.tensor(a)
            copied[b, :m] = first + torch.arange(m)
            ends[b], right[b] = m - 1, not e.wrong
        if m and not e.wrong:
            start[b] = first
            stop[b, : m - 1], stop[b, m - 1] = 0, 1
            words[b, : m + 1] = torch.tensor([*a, sep])
    lengths = torch.tensor([len(q) + len(p) for q, p in rows])
    return ReaderBatch(PrefixBatch(ids, types, lengths, starts), written, start, copied, stop, words, ends, right)


class ReaderLoss(nn.Module):
    """Negative log-likelihood of the gold span, plus shares of the language model's and of the verifier's."""

    def __init__(self, reader: ReaderNetwork, language_model_weight: float, verifier_weight: float = 0.5) -> None:
        super().__init__()
        self.reader, self.weight, self.verifier_weight = reader, language_model_weight, verifier_weight

    def forward(self, batch: ReaderBatch) -> dict[str, Tensor]:
        prefix, states = self.reader.joint(batch.rows, batch.answers)
        start = F.nll_loss(self.reader.start(batch.rows, prefix, states[:, 0]), batch.start)
        copied = prefix.gather(1, batch.copied[..., None].expand(-1, -1, prefix.shape[-1]))
        real = batch.stop != NOWHERE
        stops = self.reader.stops(copied[real], states[:, 1:][real])
        stop = F.binary_cross_entropy_with_logits(stops, batch.stop[real].to(stops.dtype), reduction="sum") / len(real)
        known = batch.words != NOWHERE
        words = F.cross_entropy(self.reader.words(states[known]), batch.words[known], reduction="sum") / known.sum().clamp(
            min=1
        )
        verify = self._verify(batch, copied, states) if self.reader.verifier is not None else start * 0
        loss = start + stop + self.weight * words + self.verifier_weight * verify
        return {"loss": loss, "start": start, "stop": stop, "words": words, "verify": verify}

    def _verify(self, batch: ReaderBatch, copied: Tensor, states: Tensor) -> Tensor:
        """Cross-entropy of "this span is the answer", over the rows that have one, right or plausible."""
        told = (batch.right != NOWHERE).nonzero().squeeze(1)
        last = batch.ends[told]  # of the answer's tokens
        logits = self.reader.verified(copied[told, last], states[told, 1 + last], states[told, 0])
        labels = batch.right[told].to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / max(1, len(told))


def held_out(recipe: ReaderRecipe, data: Path) -> tuple[list[Question], list[Question]]:
    """Held-out questions for calibration and for the reported figures, with disjoint titles."""
    wiki = read_questions(data, "squadshifts/new_wiki")
    reported = titles_of(wiki, recipe.held_out)
    development = titles_of(wiki, recipe.development, recipe.held_out)
    return [q for q in wiki if q.title in development], [q for q in wiki if q.title in reported]


def training_questions(recipe: ReaderRecipe, data: Path) -> list[Question]:
    """All others of the recipe's sources whose passages share no title and no 13 words with the held-out ones."""
    held = [q for part in held_out(recipe, data) for q in part]
    named = {q.title.replace("_", " ").lower() for q in held}
    every = [q for source in recipe.sources for q in read_questions(data, source)]
    left = without_overlap([q for q in every if q.title.replace("_", " ").lower() not in named], held)
    if not left:
        raise BadRequest(
            f"of {len(every)} questions none is left to train on: the passages of all share a title or 13 words with one of "
            f"the {len(held)} held-out questions; give other data"
        )
    return left


def start_from(encoder: SentenceEncoder) -> ReaderNetwork:
    """A reader whose transformer is the encoder's, with two more segments; the word embeddings stay as they are."""
    config = replace(encoder.config, token_types=3)
    reader = ReaderNetwork(config, verifier=True)
    state = {name: tensor.clone() for name, tensor in encoder.transformer.state_dict().items()}
    state["embed.types.weight"] = state["embed.types.weight"][:1].repeat(3, 1)
    state["embed.types.weight"][1:] += 0.01 * torch.randn(2, config.hidden_size, generator=torch.Generator().manual_seed(0))
    reader.transformer.load_state_dict(state)
    reader.transformer.embed.words.weight.requires_grad_(False)
    for head in (reader.query, reader.key, reader.place, reader.stop, reader.verifier):
        assert head is not None
        for name, parameter in head.named_parameters():
            nn.init.normal_(parameter, std=0.02) if name.endswith("weight") else nn.init.zeros_(parameter)
    nn.init.eye_(reader.transform.get_parameter("0.weight"))  # states and word vectors share a space: start from the identity
    return reader


class ReaderRun(TaskHooks):
    """The `Task` of the loop. All batches are planned beforehand; each has as many rows as its tokens allow."""

    ylabel = "nats an example"
    plotted: tuple[str, ...] = ("loss", "start", "stop")
    optimizer: torch.optim.Optimizer

    def __init__(self, recipe: ReaderRecipe, device: torch.device | str = "cpu") -> None:
        if recipe.data is None:
            raise BadRequest("no data; give --data the folder that holds squadshifts/, qamr/ and the others")
        torch.manual_seed(recipe.seed)
        encoder = SentenceEncoder.load(hub.resolve(recipe.base), device=str(device))
        questions = training_questions(recipe, recipe.data)
        self.corpus = Corpus.build(questions, encoder.tokenizer, altered(recipe, questions))
        recipe.out.mkdir(parents=True, exist_ok=True)
        mine_by_words(self.corpus, recipe.out / "negatives.json")
        self.batches = plan(recipe, self.corpus)
        self.specials = encoder.tokenizer.id("[CLS]"), encoder.tokenizer.id("[SEP]"), recipe.longest_question
        self.model = start_from(encoder)
        if recipe.start:
            go_on_from(self.model, recipe.start)
        freeze(self.model, recipe.frozen_layers)
        self.loss = ReaderLoss(self.model, recipe.language_model_weight, recipe.verifier_weight)
        groups = _groups(self.model, recipe.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))

    def step_rows(self, step: int) -> int:
        return len(self.batches[step % len(self.batches)])

    def parts(self, step: int, process: int, processes: int) -> list[tuple[ReaderBatch, float]]:
        batch = self.batches[step % len(self.batches)]
        return [(collate(batch[process::processes], self.corpus, *self.specials), 1.0)]


def train(recipe: ReaderRecipe, *, stop_after_minutes: float | None = None) -> bool:
    """Trains or resumes; True when all steps are done. Writes metrics.jsonl, loss.png and checkpoints."""
    accelerator = mixed_precision.accelerator(recipe.mixed_precision)
    task = ReaderRun(recipe, accelerator.device)
    steps = len(task.batches)
    settings = LoopRecipe(
        out=recipe.out,
        steps=steps,
        minutes=recipe.minutes,
        batch=accelerator.num_processes,  # at least; `ReaderRun.step_rows` tells how many there are
        schedule=LearningRateSchedule(peak=recipe.learning_rate, floor=recipe.floor, warmup=recipe.warmup),
        gradient_clip=recipe.gradient_clip,
        seed=recipe.seed,
        checkpoint_minutes=recipe.checkpoint_minutes,
        mixed_precision=recipe.mixed_precision,
    )
    return loop.run(settings, task, RunLog(recipe.out, steps), accelerator, stop_after_minutes)


def export(recipe: ReaderRecipe) -> Path:
    """The run's last checkpoint, calibrated on the development titles -> `out/model`, ready for `--reader out/model`."""
    import tempfile

    from mmgen.config import RuntimeConfig
    from mmgen.models.reader.model import ReaderModel
    from mmgen.runtime import Runtime
    from mmgen.training.recipes import reader_calibration

    assert recipe.data is not None
    folder = recipe.out / "model"
    base = SentenceEncoder.load(hub.resolve(recipe.base))
    reader = start_from(base)
    reader.load_state_dict(safetensors_io.read(recipe.out / "checkpoint" / "model.safetensors"))
    if recipe.start and recipe.start_share:
        mix(reader, recipe.start, recipe.start_share)
    settings = {"architecture": "mmgen-reader", "base": recipe.base, "longest_answer": recipe.longest_answer}
    settings["activations"] = recipe.activations
    if recipe.verifier:
        settings["verifier"] = recipe.verifier
    settings["transformer"] = asdict(reader.transformer.config)
    model = ReaderModel(reader, base.tokenizer, settings)
    model.save(folder)
    development, _ = held_out(recipe, recipe.data)
    with tempfile.TemporaryDirectory() as home, Runtime(RuntimeConfig(home=Path(home))) as rt:
        library = reader_calibration.index(rt, development, Path(home) / "store")
        client = rt.reader(str(folder.resolve()))
        asked = [reader_calibration.ask(library, client, q, 5, answerable) for q in development for answerable in (True, False)]
        made = recombined(development, random.Random(recipe.seed))
        asked += [reader_calibration.ask(library, client, q, 5, False) for q in made]
    model.settings["calibration"] = reader_calibration.fit(asked).settings()
    model.save(folder)
    return folder


def plan(recipe: ReaderRecipe, corpus: Corpus) -> list[list[ReaderExample]]:
    """All batches of the run, planned from the seed, so that a resumed run is identical."""
    batches: list[list[ReaderExample]] = []
    for epoch, window in enumerate(recipe.windows):
        rng = random.Random(f"{recipe.seed}/{epoch}")
        shares = recipe.negatives, recipe.longest_answer, recipe.altered
        examples = plan_epoch(corpus, rng, window, recipe.sources, *shares)
        batches += plan_batches(examples, corpus, recipe.batch_tokens, rng)
    return batches


def _groups(reader: ReaderNetwork, weight_decay: float) -> list[dict[str, Any]]:
    learned = [p for p in reader.parameters() if p.requires_grad]
    return [
        {"params": [p for p in learned if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in learned if p.dim() == 1], "weight_decay": 0.0},
    ]


def altered(recipe: ReaderRecipe, questions: Sequence[Question]) -> list[list[Question]]:
    """Each question's versions that its passage does not answer, and the renamed one that it does; see unanswerable.py."""
    if not recipe.altered:
        return [[] for _ in questions]
    pool, rng = WordPool.of(questions), random.Random(recipe.seed)
    return [[*unanswerable(q, pool, rng), *renamed(q, pool, rng)] for q in questions]


def mix(reader: ReaderNetwork, reference: str, share: float) -> None:
    """Moves the weights towards those of the reader that training began with: WiSE-FT (Wortsman et al. 2022), eq. 1."""
    trained = {name: tensor.clone() for name, tensor in reader.state_dict().items()}
    go_on_from(reader, reference)
    first = reader.state_dict()
    reader.load_state_dict({name: torch.lerp(tensor, first[name], share) for name, tensor in trained.items()})


def go_on_from(reader: ReaderNetwork, reference: str) -> None:
    """Fills in a trained reader's weights; a verifier that it lacks stays new. Raises BadRequest for one of another shape."""
    from mmgen.models.reader.model import ReaderModel

    trained, ours = ReaderModel.load(hub.resolve(reference), precision="fp32").reader.state_dict(), reader.state_dict()
    if any(name not in ours or tensor.shape != ours[name].shape for name, tensor in trained.items()):
        raise BadRequest(f"{reference} has another shape than the base; give the reader's own base")
    reader.load_state_dict(trained, strict=False)


def freeze(reader: ReaderNetwork | CrossEncoderNetwork, layers: int) -> None:
    """The embeddings and the lowest `layers` blocks are trained no further; 0: only the word embeddings are not."""
    if layers:
        for part in (reader.transformer.embed, *reader.transformer.blocks[:layers]):
            part.requires_grad_(False)


def mine_by_words(corpus: Corpus, path: Path) -> None:
    """Mines hard negatives once, by the words they share with the question (TF-IDF), and caches them."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    if path.is_file():
        corpus.negatives = json.loads(path.read_text())
    if len(corpus.negatives) != corpus.asked:
        corpus.negatives = []
        vectors = TfidfVectorizer(sublinear_tf=True)
        contexts = vectors.fit_transform(corpus.contexts[: corpus.read])
        corpus.find_negatives(vectors.transform([q.text for q in corpus.questions[: corpus.asked]]), contexts)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")  # other processes of the run do the same
        fresh.write_text(json.dumps(corpus.negatives))
        fresh.replace(path)
