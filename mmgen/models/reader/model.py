"""The reader as it is used: question and passages in text, answers as character spans. Knows no store and no queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights, ConfigError
from mmgen.models import transformer_config
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.tensor_names import BERT_WORDS
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.lm.tokenizer import TokenizedText, Tokenizer
from mmgen.models.reader.calibration import Calibration, SpanAnswer
from mmgen.models.reader.network import ANSWER, PASSAGE, PrefixBatch, ReaderNetwork
from mmgen.models.reader.span_search import best_spans

LONGEST_QUESTION = 64  # tokens
SHARED = "transformer.embed.words.weight"  # word embeddings stand in the base model's file, not in the reader's


@dataclass(frozen=True)
class QuestionPassage:
    """One question and one passage, tokenised."""

    question: TokenizedText
    passage: TokenizedText

    def __len__(self) -> int:
        """Tokens of the row it becomes."""
        return len(self.question.ids) + len(self.passage.ids) + 3


@dataclass
class FreeText:
    """Free text under way: the kept prefix, and what was written behind it."""

    cache: GrowingCache
    place: int  # position of the next token
    last: int  # the token that is read next
    ids: list[int] = field(default_factory=list)


class ReaderModel:
    """A loaded reader: `read` is one forward pass over pairs, with its exact search."""

    def __init__(self, reader: ReaderNetwork, tokenizer: Tokenizer, settings: dict[str, Any], name: str = "") -> None:
        self.reader, self.tokenizer, self.settings, self.name = reader.eval(), tokenizer, settings, name
        self.cls, self.sep = tokenizer.id("[CLS]"), tokenizer.id("[SEP]")
        self.max_tokens = reader.transformer.config.max_tokens
        self.calibration = Calibration.of(settings.get("calibration"))
        self.longest_answer = int(settings.get("longest_answer", 24))
        pieces = tokenizer.fast.get_vocab()
        self.continues = torch.zeros(reader.transformer.config.vocab_size + 1, dtype=torch.bool)
        self.continues[[number for piece, number in pieces.items() if piece.startswith("##")]] = True

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "") -> ReaderModel:
        """From a folder written by `save`; its word embeddings and tokenizer come from its base model."""
        settings = safetensors_io.read_json(folder / "config.json")
        try:
            base, shape = hub.resolve(settings["base"]), transformer_config.load(settings["transformer"])
        except (KeyError, TypeError, ConfigError) as why:
            raise BadWeights(f"{folder / 'config.json'} is no reader's configuration ({why})") from None
        reader = ReaderNetwork(shape).to(device)
        tensors = safetensors_io.unpacked(safetensors_io.read(folder / "model.safetensors"))
        tensors[SHARED] = safetensors_io.read(base / "model.safetensors")[BERT_WORDS]
        safetensors_io.fill(reader, tensors)
        return cls(reader, Tokenizer(base / "tokenizer.json"), settings, name or folder.name)

    def save(self, folder: Path) -> None:
        """int8 matrices, without the word embeddings."""
        import json

        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor for name, tensor in self.reader.state_dict().items() if name != SHARED}
        save_file(safetensors_io.packed(state), folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.settings, indent=2) + "\n")

    def pairs(self, question: str, passages: Sequence[str]) -> list[QuestionPassage]:
        """Tokenises; BadRequest for a question longer than the reader reads. A passage beyond the window is cut at its end."""
        first, *rest = self.tokenizer.encode_many([question, *passages])
        if len(first.ids) > LONGEST_QUESTION:
            raise BadRequest(
                f"the question is {len(first.ids)} tokens, {self.name} reads {LONGEST_QUESTION}; ask it more shortly"
            )
        most = self.max_tokens - len(first.ids) - 4 - self.longest_answer
        return [QuestionPassage(first, TokenizedText(p.ids[:most], p.spans[:most])) for p in rest]

    def pack(self, pairs: Sequence[QuestionPassage]) -> tuple[PrefixBatch, list[int]]:
        """Pairs -> padded rows, and where each passage begins in its row."""
        lines = [([self.cls, *p.question.ids, self.sep], [*p.passage.ids, self.sep]) for p in pairs]
        size = max(len(q) + len(p) for q, p in lines)
        ids, types = torch.zeros(len(lines), size, dtype=torch.long), torch.zeros(len(lines), size, dtype=torch.long)
        starts = torch.zeros(len(lines), size, dtype=torch.bool)
        for row, (q, p) in enumerate(lines):
            n = len(q) + len(p)
            ids[row, :n], types[row, len(q) : n] = torch.tensor(q + p), PASSAGE
            starts[row, len(q) : n - 1] = ~self.continues[ids[row, len(q) : n - 1]]  # an answer begins with a word
            starts[row, 0] = True
        device = self.reader.word_bias.device
        lengths = torch.tensor([len(q) + len(p) for q, p in lines])
        rows = PrefixBatch(ids.to(device), types.to(device), lengths.to(device), starts.to(device))
        return rows, [len(q) for q, _ in lines]

    @torch.inference_mode()
    def read(self, pairs: Sequence[QuestionPassage], most: int = 1) -> list[list[SpanAnswer]]:
        """The `most` best answers in each pair's passage, best first; a passage without tokens has none."""
        rows, offsets = self.pack(pairs)
        cache, prefix = self.reader.prefill(rows)
        opening = torch.full((len(pairs), 1, 1), self.cls, device=rows.ids.device)
        first = self.reader.branch(rows, cache, opening)[:, 0, 0]
        starts = self.reader.start(rows, prefix, first).cpu()
        nowhere = starts[:, 0].tolist()
        starts[:, 0] = float("-inf")
        opened: dict[tuple[int, int], Tensor] = {}
        self._open(rows, cache, prefix, starts, opened)
        found: list[list[SpanAnswer]] = []
        for row, pair in enumerate(pairs):

            def extend(wanted: list[tuple[int, int]], row: int = row) -> Tensor:
                missing = [(row, place) for _, place in wanted if (row, place) not in opened]
                if missing:
                    self._open_pairs(rows, cache, prefix, missing, opened)
                return torch.stack([opened[row, place] for _, place in wanted])

            spans = best_spans(starts[row : row + 1], extend, most, at_once=2)
            chars = pair.passage.spans
            found.append([
                SpanAnswer(chars[s.first - offsets[row]][0], chars[s.last - offsets[row]][1], s.log_probability, nowhere[row])
                for s in spans
            ])  # fmt: skip
        return found

    @torch.inference_mode()
    def begin(self, pair: QuestionPassage) -> FreeText:
        """Free writing over one pair: its prefix read and kept."""
        rows, _ = self.pack([pair])
        cache, _ = self.reader.prefill(rows)
        return FreeText(cache, int(rows.lengths[0]), self.cls)

    @torch.inference_mode()
    def write(self, writing: FreeText) -> bool:
        """The likeliest next word piece by the language-model head; False at the end of the answer."""
        ids = torch.tensor([[writing.last]], device=self.reader.word_bias.device)
        states = self.reader.transformer(
            ids, positions=torch.full_like(ids, writing.place), types=torch.full_like(ids, ANSWER), cache=writing.cache
        )
        writing.last = int(self.reader.words(states[0, 0]).argmax())
        writing.place += 1
        if writing.last == self.sep or len(writing.ids) == self.longest_answer:
            return False
        writing.ids.append(writing.last)
        return True

    def _open(self, rows: PrefixBatch, cache: GrowingCache, prefix: Tensor, starts: Tensor, opened: dict[Any, Tensor]) -> None:
        """The most promising starts of all rows in one pass: mostly the search then needs no other."""
        top = starts.topk(min(2, starts.shape[1]), dim=1)
        pairs = [
            (row, place)
            for row, (places, bounds) in enumerate(zip(top.indices.tolist(), top.values.tolist(), strict=True))
            for place, bound in zip(places, bounds, strict=True)
            if bound > float("-inf")
        ]
        if pairs:
            self._open_pairs(rows, cache, prefix, pairs, opened)

    def _open_pairs(
        self, rows: PrefixBatch, cache: GrowingCache, prefix: Tensor, pairs: list[tuple[int, int]], opened: dict[Any, Tensor]
    ) -> None:
        """Prices all spans that begin at (row, place): log P(length | start), for 1..longest tokens."""
        length, size = self.longest_answer, rows.ids.shape[1]
        wanted: dict[int, list[int]] = {}
        for row, place in pairs:
            wanted.setdefault(row, []).append(place)
        some = torch.tensor(sorted(wanted), device=rows.ids.device)
        branches = max(map(len, wanted.values()))
        places = torch.zeros(len(some), branches, dtype=torch.long)
        for line, row in enumerate(sorted(wanted)):
            places[line, : len(wanted[row])] = torch.tensor(wanted[row])
        spans = places[..., None].to(some.device) + torch.arange(length, device=some.device)  # (R, K, L)
        inside = spans < (rows.lengths[some] - 1)[:, None, None]  # the last place of a row is its [SEP]
        spans = spans.clamp(max=size - 1)
        part = PrefixBatch(rows.ids[some], rows.types[some], rows.lengths[some], rows.starts[some])
        tokens = part.ids.gather(1, spans.flatten(1)).view_as(spans)
        opening = torch.full_like(tokens[..., :1], self.cls)
        states = self.reader.branch(part, _rows_of(cache, some, len(rows.ids)), torch.cat((opening, tokens), -1))[:, :, 1:]
        copied = prefix[some].gather(1, spans.flatten(1)[..., None].expand(-1, -1, prefix.shape[-1]))
        logits = self.reader.stops(copied.view_as(states), states)
        ahead = part.ids.gather(1, (spans + 1).clamp(max=size - 1).flatten(1)).view_as(spans)
        within = self.continues.to(ahead.device)[ahead]  # never end within a word
        closing = spans == (part.lengths - 2)[:, None, None]  # always end where the passage does
        stop = F.logsigmoid(logits).masked_fill(within, float("-inf")).masked_fill(closing, 0.0)
        passed = F.logsigmoid(-logits).masked_fill(within, 0.0)
        go_on = passed.cumsum(-1) - passed  # log P(did not end before)
        prices = (stop + go_on).masked_fill(~inside, float("-inf")).cpu()
        for line, row in enumerate(sorted(wanted)):
            for branch, place in enumerate(wanted[row]):
                opened[row, place] = prices[line, branch]


def _rows_of(cache: GrowingCache, some: Tensor, total: int) -> GrowingCache:
    """The cache of some rows; itself where that is all of them."""
    if len(some) == total:
        return cache
    part = GrowingCache()
    part.layers = {layer: (keys[some], values[some]) for layer, (keys, values) in cache.layers.items()}
    return part
