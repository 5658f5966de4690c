"""The grounded reader: a question and passages as text in, answers as character spans out."""

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
from mmgen.models.checkpoints.convert import Checkpoint
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.checkpoints.tensor_names import BERT_WORDS
from mmgen.models.cpu.bf16 import bf16_products
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.lm import fused_encoder
from mmgen.models.lm.tokenizer import TokenizedText, Tokenizer
from mmgen.models.quantization.int8 import as_published, quantize
from mmgen.models.reader.calibration import Calibration, SpanAnswer
from mmgen.models.reader.network import ANSWER, PASSAGE, PrefixBatch, ReaderNetwork
from mmgen.models.reader.prefix_attention import PrefixAttention
from mmgen.models.reader.question_parts import question_parts
from mmgen.models.reader.span_adapter import SpanAdapter
from mmgen.models.reader.span_heads import Adapted
from mmgen.models.reader.span_search import best_spans

LONGEST_QUESTION = 64  # tokens
PRACTISED_QUESTION = 40  # tokens; longer ones were cut in training
PRECISIONS = ("fp32", "bf16", "int8")
FIRST_LENGTHS = 8  # tokens of an answer that are read at once; few answers are longer
HOPELESS = -3.0
"""Log-odds of a passage's likeliest start against "no answer" from which the best of all its spans is not looked for: no span
there can have more, and such an answer is never given."""
Expanded = dict[tuple[int, int], tuple[Tensor, Tensor]]
SHARED = "transformer.embed.words.weight"  # read from the base model's file; not saved with the reader


@dataclass(frozen=True)
class QuestionPassage:
    """One question and one passage, tokenised."""

    question: TokenizedText
    passage: TokenizedText
    adapter: SpanAdapter | None = None  # of the store that the passage is from

    def __len__(self) -> int:
        """Tokens of its row, special tokens included."""
        return len(self.question.ids) + len(self.passage.ids) + 3


@dataclass(frozen=True)
class AnswerRow:
    """A pair, and an answer in it by its tokens' numbers in the passage, for `ReaderModel.states`."""

    pair: QuestionPassage
    tokens: tuple[int, int] | None = None  # the first, and the last + 1; None: no answer

    def __len__(self) -> int:
        return len(self.pair)


@dataclass
class FreeText:
    """State of greedy decoding with the language-model head."""

    cache: GrowingCache  # keys and values of the prefix and of the tokens before `last`
    position: int  # of `last`
    last: int  # the model's next input token
    ids: list[int] = field(default_factory=list)  # generated so far


class ReaderModel:
    """The network with its tokenizer and calibration: `read` extracts spans, `begin` and `write` generate free text."""

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
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> ReaderModel:
        """From a folder written by `save`. Word embeddings and tokenizer are those of the base model that its config names.

        `precision`: "fp32", or "bf16" or "int8", to which a processor rounds the factors of the transformer's products; empty:
        what its config says under "activations", on a processor. Raises BadWeights for a file that is missing or damaged.
        """
        if precision not in ("", *PRECISIONS):
            raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(PRECISIONS)} after the #")
        settings = safetensors_io.read_json(folder / "config.json")
        try:
            base, shape = hub.resolve(settings["base"]), transformer_config.load(settings["transformer"])
        except (KeyError, TypeError, ConfigError) as why:
            raise BadWeights(f"{folder / 'config.json'} is no reader's configuration ({why})") from None
        tensors = safetensors_io.unpacked(safetensors_io.read(folder / "model.safetensors"))
        with without_init():
            reader = ReaderNetwork(shape, verifier=any(name.startswith("verifier.") for name in tensors)).to(device)
        tensors[SHARED] = Checkpoint(base)[BERT_WORDS]
        safetensors_io.fill(reader, tensors)
        precision = precision or (as_published(str(settings.get("activations", "fp32"))) if device == "cpu" else "fp32")
        if precision == "int8":
            quantize(reader.transformer)
        elif precision == "bf16":
            bf16_products(reader.transformer)
        if precision != "fp32":
            fused_encoder.install(reader.transformer, shape)
        return cls(reader, Tokenizer(base / "tokenizer.json"), settings, name or folder.name)

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors: matrices as int8, word embeddings left out."""
        import json

        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor for name, tensor in self.reader.state_dict().items() if name != SHARED}
        save_file(safetensors_io.packed(state), folder / "model.safetensors", metadata={"format": "pt"})
        (folder / "config.json").write_text(json.dumps(self.settings, indent=2) + "\n")

    def asked(self, question: str) -> list[str]:
        """The question as it is, or of one that is longer than PRACTISED_QUESTION tokens the parts that can be read in its
        place; see question_parts.py."""
        return question_parts(question, self.tokenizer, PRACTISED_QUESTION)

    def pairs(self, question: str, passages: Sequence[str]) -> list[QuestionPassage]:
        """Tokenises. A passage that does not fit into the context is truncated at its end.

        Raises BadRequest for a question of more than LONGEST_QUESTION tokens; `asked` divides it.
        """
        first, *rest = self.tokenizer.encode_many([question, *passages])
        if len(first.ids) > LONGEST_QUESTION:
            raise BadRequest(f"the question is {len(first.ids)} tokens, {self.name} reads {LONGEST_QUESTION}; shorten it")
        most = self.max_tokens - len(first.ids) - 4 - self.longest_answer
        return [QuestionPassage(first, TokenizedText(p.ids[:most], p.spans[:most])) for p in rest]

    def pack(self, pairs: Sequence[QuestionPassage]) -> tuple[PrefixBatch, list[int]]:
        """Pairs -> padded rows, and the position of each passage's first token."""
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
        """The `most` most probable spans of each pair's passage, best first; a passage without tokens has none."""
        rows, offsets = self.pack(pairs)
        cache, prefix = self.reader.prefill(rows)
        adapters = [pair.adapter for pair in pairs]
        opening = torch.full((len(pairs), 1), self.cls, device=rows.ids.device)
        first = self.reader.continuations(rows, cache, range(len(pairs)), opening)[:, 0]
        starts = self.reader.start(rows, prefix, first, adapters).cpu()
        no_answer = starts[:, 0].tolist()
        starts[:, 0] = float("-inf")
        hopeless = (starts.amax(1) < torch.tensor(no_answer) + HOPELESS) & (most == 1)
        expanded: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._expand_best(rows, cache, prefix, starts, expanded, most, adapters)
        for row in hopeless.nonzero().flatten().tolist():  # no search: of the starts that were read anyway the best
            read = [start for of, start in expanded if of == row]
            kept = starts[row, read]
            starts[row] = float("-inf")
            starts[row, read] = kept
        found: list[list[SpanAnswer]] = []
        for row, pair in enumerate(pairs):

            def expand(pairs: list[tuple[int, int]], row: int = row) -> Tensor:
                missing = [(row, start) for _, start in pairs if (row, start) not in expanded]
                if missing:
                    self._expand(rows, cache, prefix, missing, expanded, most, adapters)
                return torch.stack([expanded[row, start][0] for _, start in pairs])

            spans = best_spans(starts[row : row + 1], expand, most, at_once=2)
            chars = pair.passage.spans
            found.append([
                SpanAnswer(
                    chars[s.first - offsets[row]][0], chars[s.last - offsets[row]][1], s.log_probability, no_answer[row],
                    float(expanded[row, s.first][1][s.last - s.first]),
                )
                for s in spans
            ])  # fmt: skip
        return found

    @torch.inference_mode()
    def states(self, answers: Sequence[AnswerRow]) -> list[tuple[Tensor, Tensor]]:
        """What the span heads are given, on the CPU: of each row of N tokens (N, D) of the prefix, and (1 + M, D) of the
        answer's [CLS] and its M tokens."""
        rows, _ = self.pack([one.pair for one in answers])
        cache, prefix = self.reader.prefill(rows)
        places = [(0, 0) if one.tokens is None else one.tokens for one in answers]
        longest = max(last - first for first, last in places)
        written = torch.full((len(answers), 1 + longest), self.cls)  # behind an answer: nothing that it sees
        for row, (first, last) in enumerate(places):
            ids = answers[row].pair.passage.ids[first:last]
            written[row, 1 : 1 + len(ids)] = torch.tensor(ids, dtype=torch.long)
        read = self.reader.continuations(rows, cache, range(len(answers)), written.to(rows.ids.device)).cpu()
        whole = zip(prefix.cpu(), rows.lengths.tolist(), read, places, strict=True)
        return [(own[:length].clone(), said[: 1 + last - first].clone()) for own, length, said, (first, last) in whole]

    @torch.inference_mode()
    def begin(self, pair: QuestionPassage) -> FreeText:
        """Prefills one pair, for `write`."""
        rows, _ = self.pack([pair])
        cache = GrowingCache()
        self.reader.transformer(rows.ids, types=rows.types, cache=cache)
        return FreeText(cache, int(rows.lengths[0]), self.cls)

    @torch.inference_mode()
    def write(self, writing: FreeText) -> bool:
        """Greedy decoding, one token of the language-model head; False at the end of the answer."""
        ids = torch.tensor([[writing.last]], device=self.reader.word_bias.device)
        states = self.reader.transformer(
            ids, positions=torch.full_like(ids, writing.position), types=torch.full_like(ids, ANSWER), cache=writing.cache
        )
        writing.last = int(self.reader.words(states[0, 0]).argmax())
        writing.position += 1
        if writing.last == self.sep or len(writing.ids) == self.longest_answer:
            return False
        writing.ids.append(writing.last)
        return True

    def _expand_best(
        self,
        rows: PrefixBatch,
        cache: PrefixAttention,
        prefix: Tensor,
        starts: Tensor,
        expanded: Expanded,
        most: int,
        adapters: Adapted,
    ) -> None:
        """Expands the starts that the search needs first, of all rows in one forward pass: each row's likeliest, and then
        the second where its bound is above what was found."""
        top = starts.topk(min(2, starts.shape[1]), dim=1)
        places, bounds = top.indices.tolist(), top.values.tolist()
        best = [float("-inf")] * len(places)
        for turn in range(top.indices.shape[1]):
            pairs = [(row, places[row][turn]) for row in range(len(places)) if bounds[row][turn] > best[row]]
            if pairs:
                self._expand(rows, cache, prefix, pairs, expanded, most, adapters)
            if most == 1:
                for row, start in pairs:
                    best[row] = max(best[row], bounds[row][turn] + float(expanded[row, start][0].max()))

    def _expand(
        self,
        rows: PrefixBatch,
        cache: PrefixAttention,
        prefix: Tensor,
        pairs: list[tuple[int, int]],
        expanded: Expanded,
        most: int = 1,
        adapters: Adapted = (),
    ) -> None:
        """Sets `expanded[row, start]` for all pairs: (L,) log P(length | start) of lengths 1 to L, the longest answer's, and
        (L,) the verifier's logits. Where one span is asked for, most starts are read but FIRST_LENGTHS far: what is left for
        all longer spans together is then less than the best of the short ones, and they stay at -inf."""
        short = min(FIRST_LENGTHS, self.longest_answer) if most == 1 else self.longest_answer
        further = []
        for pair, (lengths, verified, left) in self._lengths(rows, cache, prefix, pairs, short, adapters).items():
            if left > float(lengths.max()):
                further.append(pair)
            more = self.longest_answer - short
            expanded[pair] = F.pad(lengths, (0, more), value=float("-inf")), F.pad(verified, (0, more))
        if further and short < self.longest_answer:
            whole = self._lengths(rows, cache, prefix, further, self.longest_answer, adapters)
            for pair, (lengths, verified, _) in whole.items():
                expanded[pair] = lengths, verified

    def _lengths(
        self,
        rows: PrefixBatch,
        cache: PrefixAttention,
        prefix: Tensor,
        pairs: list[tuple[int, int]],
        length: int,
        adapters: Adapted = (),
    ) -> dict[tuple[int, int], tuple[Tensor, Tensor, float]]:
        """Of every pair (row, start): (L,) log P(length | start) of lengths 1 to L, (L,) the verifier's logits, and
        log P(a longer span | start)."""
        of = torch.tensor([row for row, _ in pairs], device=rows.ids.device)
        begins = torch.tensor([start for _, start in pairs], device=rows.ids.device)
        ids, last = rows.ids[of], rows.lengths[of, None] - 1  # a row's last token is its [SEP]
        spans = begins[:, None] + torch.arange(length, device=of.device)  # (P, L) positions
        inside, spans = spans < last, torch.minimum(spans, last)
        tokens = torch.cat((torch.full_like(ids[:, :1], self.cls), ids.gather(1, spans)), 1)
        read = self.reader.continuations(rows, cache, of.tolist(), tokens)
        first, states, copied = read[:, :1], read[:, 1:], prefix[of[:, None], spans]
        logits = self.reader.stops(copied, states, [adapters[row] for row, _ in pairs] if adapters else ())
        if self.reader.verifier is None:
            verified = torch.zeros_like(logits)
        else:
            verified = self.reader.verified(copied, states, first.expand_as(states)).cpu()
        within = self.continues.to(ids.device)[ids.gather(1, torch.minimum(spans + 1, last))]  # no span ends within a word
        closing = spans == last - 1  # every span ends at the passage's last token
        stop = F.logsigmoid(logits).masked_fill(within, float("-inf")).masked_fill(closing, 0.0)
        passed = F.logsigmoid(-logits).masked_fill(within, 0.0)
        survival = passed.cumsum(-1) - passed  # log P(no earlier end)
        lengths = (stop + survival).masked_fill(~inside, float("-inf")).cpu()
        left = passed.masked_fill(~inside, float("-inf")).sum(-1).tolist()
        return {pair: (lengths[n], verified[n], left[n]) for n, pair in enumerate(pairs)}
