"""A text job: its payload, its events and result, and its sequences between two forward passes. Knows tokens; not KV blocks.

How a sequence goes on is decided in sampled_sequences.py and search_sequences.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from torch import Tensor

from mmgen.engine.job import Job
from mmgen.errors import BadRequest, TooLong
from mmgen.models.layers.attention import EncoderMemory
from mmgen.models.lm.detokenizer import Detokenizer, Stops
from mmgen.models.lm.guided_decoding import Constraint
from mmgen.models.lm.paged.block_manager import BlockTable
from mmgen.models.lm.sampling import SampledToken, choice
from mmgen.models.transformers_backend.sequence_cache import SequenceCache
from mmgen.text_params import TextParams

Reason = Literal["stop", "length"]
ScoreRules = Callable[[Sequence[int], Tensor], Tensor]
"""(ids of the text so far, (V,) scores of the next token) -> (V,) scores, with -inf for what may not follow."""


@dataclass(frozen=True, eq=False)
class TextRequest:
    """A job's payload: what the caller said, with what the model made of it. The result is a `GenerationResult`."""

    prompt: Sequence[int]  # token ids, at least one
    params: TextParams  # whose max_tokens is settled; of a search's sampling bias and penalties count
    ends: frozenset[int] | None = None  # tokens that end a text; None: the model's
    constraint: Constraint | None = None  # compiled from the params' regex or JSON schema
    alpha: float = 0.6  # of contrastive search, and its candidates
    candidates: int = 4
    lookup: int = 0  # tokens that are guessed at once from what repeats; 0: none
    draft: int = 0  # tokens that the runner's draft model guesses at once; 0: none
    source: Sequence[int] | None = None  # what the encoder of an encoder-decoder reads
    adapter: str | None = None  # one of the runner's adapters, by name
    rules: ScoreRules | None = None  # what the checkpoint demands of a text, whatever the caller wants
    seen: Mapping[str, Tensor] = field(default_factory=dict)  # images, as a vision-language model reads them with its prompt
    shown: frozenset[int] = frozenset()  # control tokens that are part of the text, such as those around a call of a tool

    @property
    def max_tokens(self) -> int:
        assert self.params.max_tokens is not None
        return self.params.max_tokens

    @property
    def branches(self) -> int:
        """Sequences that are under way at most."""
        return {"beam": self.params.beams, "contrastive": self.candidates}.get(self.params.strategy, self.params.n)


@dataclass(frozen=True)
class TextPiece:
    """Event: more of a text. Its characters are whole; there are none while a stop string may be under way."""

    index: int  # which of the job's texts
    text: str
    choices: tuple[SampledToken, ...] = ()  # of the tokens since the last piece, where log-probabilities are asked for


@dataclass(frozen=True)
class PromptRead:
    """Event: the log-probabilities of the prompt's tokens from the second on, where they are asked for."""

    choices: tuple[SampledToken, ...]


@dataclass(frozen=True)
class FinishedText:
    """A text at its end."""

    text: str
    ids: tuple[int, ...]  # with the token that ended it
    finish_reason: Reason
    choices: tuple[SampledToken, ...] = ()
    score: float | None = None  # of beam search
    stop: str | None = None  # the stop string that ended it


@dataclass(frozen=True)
class GenerationResult:
    """A job's result."""

    texts: tuple[FinishedText, ...]
    prompt_tokens: int
    cached_tokens: int = 0  # of the prompt: known from earlier requests
    guessed: int = 0  # tokens that were guessed, and how many of them were right
    accepted: int = 0
    prompt_choices: tuple[SampledToken, ...] | None = None  # as of `PromptRead`


@dataclass(eq=False)
class TokenSequence:
    """A text that the model reads."""

    ids: list[int]  # the prompt and what was chosen
    constraint: Constraint | None = None
    memory: EncoderMemory | None = None  # of what the encoder read
    table: BlockTable | None = None  # of its keys and values; None: nothing is kept, all is to be read
    cache: SequenceCache | None = None  # instead of a table: that of transformers
    draft_table: BlockTable | None = None  # of the draft model's
    drafts: list[int] = field(default_factory=list)  # guesses, read behind `ids`
    drawn_from: list[Tensor] = field(default_factory=list)  # what the draft model drew each from; empty: copied, or greedy
    logits: Tensor | None = None  # (1 + drafts, V) behind the last token and each guess, once all is read
    state: Tensor | None = None  # (D,) hidden state of the last token, where they are kept

    def keep_drafts(self, most: int | None) -> None:
        """The first so many guesses; None: all."""
        self.drafts, self.drawn_from = self.drafts[:most], self.drawn_from[:most]

    @property
    def unread(self) -> int:
        kept = self.cache if self.table is None else self.table
        return len(self.ids) - (0 if kept is None else kept.length)


class CacheOperations(ABC):
    """What a decoding does to the keys and values of its branches; the runner's."""

    @abstractmethod
    def fork(self, branch: TokenSequence) -> TokenSequence: ...  # the same text a second time, its blocks shared
    @abstractmethod
    def drop(self, branch: TokenSequence) -> None: ...  # the text ends


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What a decoding needs to know of its model."""

    decode: Callable[..., str]  # ids, and control tokens that are to be shown, to text
    ends: frozenset[int]


CONTEXT = 4
"""Tokens of a prompt that the text behind it is decoded with."""


class TextWriter:
    """One text becoming visible: tokens to pieces, and when it ends."""

    def __init__(self, job: Job, index: int, vocabulary: Vocabulary) -> None:
        request: TextRequest = job.payload
        self.job, self.index, self.request = job, index, request
        self.ends = vocabulary.ends if request.ends is None else request.ends
        decode = partial(vocabulary.decode, shown=request.shown) if request.shown else vocabulary.decode
        context = request.prompt[-CONTEXT:] if request.source is None else ()
        self.detokenizer, self.stops = Detokenizer(decode, context), Stops(request.params.stops)
        self.ids: list[int] = []
        self.choices: list[SampledToken] = []
        self.told = 0  # choices that are told
        self.text = ""
        self.reason: Reason | None = None

    def take(self, token: int, logits: Tensor | None, complete: bool) -> None:
        """The next token. `logits`: the model's own (V,), that it was chosen from, where log-probabilities are asked for;
        `complete`: nothing may follow."""
        self.ids.append(token)
        if self.request.params.logprobs is not None and logits is not None:
            self.choices.append(choice(logits, token, self.request.params.logprobs))
        piece = "" if token in self.ends else self.stops.push(self.detokenizer.push(token))
        if token in self.ends or complete or self.stops.found is not None:
            self.reason = "stop"
        elif len(self.ids) == self.request.max_tokens:
            self.reason = "length"
        if self.reason is not None:
            piece += self.stops.push(self.detokenizer.flush())
            if self.stops.found is not None:  # maybe only just
                self.reason = "stop"
            piece += self.stops.flush()
        self._tell(piece)

    def _tell(self, piece: str) -> None:
        self.text += piece
        fresh = tuple(self.choices[self.told :])
        if piece or (fresh and self.reason is not None):
            self.told = len(self.choices)
            self.job.emit(TextPiece(self.index, piece, fresh))

    def written(self) -> FinishedText:
        assert self.reason is not None
        return FinishedText(self.text, tuple(self.ids), self.reason, tuple(self.choices), stop=self.stops.found)


class GenerationState(ABC):
    """A job under way."""

    def __init__(self, job: Job, vocabulary: Vocabulary, caches: CacheOperations) -> None:
        request: TextRequest = job.payload
        self.job, self.request, self.vocabulary, self.caches = job, request, vocabulary, caches
        constraint = None if request.constraint is None else request.constraint.copy()
        self.branches = [TokenSequence(list(request.prompt), constraint)]  # that still go on
        self.cached: int | None = None  # tokens of the prompt that were known; the runner's
        self.guessed = self.accepted = 0
        self.prompt_choices: list[SampledToken] = []  # of its tokens from the second on, as they are read
        self.virtual = 0  # places before the prompt whose keys and values are an adapter's

    def begin_behind(self, tokens: int) -> None:
        """Puts so many places without words before the prompt."""
        self.virtual = tokens
        for branch in self.branches:
            branch.ids[:0] = [0] * tokens

    @property
    def start(self) -> int:
        """Where the answer begins."""
        return self.virtual + len(self.request.prompt)

    @property
    def wants_states(self) -> bool:
        """Whether it still needs the hidden states of its whole prompt, which has to be read for that."""
        return self.wants_prompt_logits

    @property
    def wants_prompt_logits(self) -> bool:
        """Whether log-probabilities of the prompt are asked for and not yet all there."""
        params, prompt = self.request.params, self.request.prompt
        return params.prompt_logprobs is not None and len(self.prompt_choices) < len(prompt) - 1

    def read_prompt(self, start: int, logits: Tensor) -> None:
        """The prompt is read from its token `start` on: logits (N, V) behind each of the next tokens."""
        del self.prompt_choices[start:]  # it is read once more after a preemption
        following, most = self.request.prompt[start + 1 : start + 1 + len(logits)], self.request.params.prompt_logprobs or 0
        self.prompt_choices += [choice(row, token, most) for row, token in zip(logits, following, strict=False)]
        if not self.wants_prompt_logits:
            self.job.emit(PromptRead(tuple(self.prompt_choices)))

    @abstractmethod
    def texts(self) -> tuple[FinishedText, ...]: ...  # once no branch is left

    def finish(self) -> None:
        prompt = len(self.request.prompt if self.request.source is None else self.request.source)
        choices = None if self.request.params.prompt_logprobs is None else tuple(self.prompt_choices)
        self.job.finish(GenerationResult(self.texts(), prompt, self.cached or 0, self.guessed, self.accepted, choices))


def ruled(scores: Tensor, request: TextRequest, branch: TokenSequence, virtual: int = 0) -> Tensor:
    """(V,) with -inf for what the checkpoint's rules and the branch's constraint forbid. `virtual`: places without words."""
    if request.rules is not None:
        scores = request.rules(branch.ids[virtual:], scores)
    constraint = branch.constraint
    return scores if constraint is None else scores.masked_fill(~constraint.mask().to(scores.device), float("-inf"))


def check(request: TextRequest, limit: int) -> None:
    """`limit`: tokens that the model holds. Raises BadRequest or TooLong for what cannot be written."""
    prompt, answer = len(request.prompt), request.max_tokens
    if not prompt:
        raise BadRequest("the prompt is empty; begin the text with a word")
    if max(prompt, len(request.source or ())) >= limit:
        raise TooLong(f"the prompt is {max(prompt, len(request.source or ()))} tokens, the model reads {limit}; shorten it")
    if prompt + answer > limit:
        raise TooLong(
            f"{prompt} tokens of prompt and max_tokens {answer} are {prompt + answer}, the model holds {limit}; "
            f"ask for {limit - prompt} at most"
        )
    if request.params.prompt_logprobs is not None and request.source is not None:
        raise BadRequest("prompt_logprobs are asked of an encoder, which predicts nothing; leave them out")
    if request.params.searches:
        _check_search(request)


def _check_search(request: TextRequest) -> None:
    params = request.params
    most = params.beams if params.strategy == "beam" else 1
    if params.n > most:
        raise BadRequest(f"n is {params.n}; {params.strategy} search over {request.branches} texts gives {most} at most")
    if request.lookup or request.draft:
        raise BadRequest(f"{params.strategy} search takes no guesses; leave them out, or sample")
    if params.strategy == "beam" and (params.stops or params.logprobs is not None):
        raise BadRequest("beam search knows no stop strings and no logprobs; leave them out, or sample")
