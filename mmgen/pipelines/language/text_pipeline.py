"""What the text pipelines have in common: a call of a model, its events, and the texts with what they took."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmgen import embedded
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.pipelines.streaming import Event, StreamingPipeline
from mmgen.pipelines.timings import Clock
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient
    from mmgen.models.lm.guided_decoding import Constraint
    from mmgen.models.lm.sampling import SampledToken
    from mmgen.runners.generation import GenerationResult, TextPiece, TextRequest
    from mmgen.runtime import Runtime

R = TypeVar("R")
log = logging.getLogger(__name__)
_told: set[str] = set()
"""Lines that were logged; each is logged once a process."""
USUAL = 256
"""Tokens of an answer, unless the caller says otherwise."""
DRAWING = frozenset({"temperature", "top_k", "top_p", "min_p", "typical_p"})
"""What a caller says of how tokens are drawn."""
LOOKUP, DRAFT = 10, 4
"""Tokens that are guessed at once: from what repeats, and by a draft model."""


@dataclass(frozen=True)
class Token:
    """A token as it stands in the text, and its log-probability under the model itself.

    A part of a character is written as its bytes, such as \\xe4\\xb8.
    """

    text: str
    logprob: float | None  # None: of the first token of a text, which nothing predicts
    top: list[Token] = field(default_factory=list)  # the likeliest tokens, best first
    bytes: list[int] = field(default_factory=list)  # UTF-8
    hidden: bool = False  # a control token, which the text leaves out


@dataclass(frozen=True)
class Delta:
    """More of a text: the value of a "text" event."""

    index: int  # which of the texts
    text: str
    tokens: list[Token] = field(default_factory=list)  # with log-probabilities, where they are asked for
    reasoning: str = ""  # of a chat with a model that thinks before it answers: more of that


@dataclass(frozen=True)
class TokenUsage:
    """Tokens of a call."""

    prompt: int
    cached: int  # of the prompt: known from earlier calls
    written: int
    guessed: int = 0  # tokens that were guessed, and how many of them were right
    accepted: int = 0


@dataclass(frozen=True)
class Completion:
    """What `text` returns."""

    prompt: str
    texts: list[str]
    finish_reasons: list[str]  # "stop": an end token, a stop string or the constraint; "length": max_tokens
    usage: TokenUsage
    seed: int
    model: str
    timings: dict[str, float] = field(repr=False)  # milliseconds: load, first (to the first token), write, total
    logprobs: list[list[Token]] | None = None
    scores: list[float] | None = None  # of beam search
    request_id: str = ""
    prompt_logprobs: list[Token] | None = None
    stops: list[str | None] | None = None  # the stop string that ended each text; None: none were given
    precision: str = ""  # that the model ran in, as behind a # of its reference; empty: its own

    @property
    def text(self) -> str:
        return self.texts[0]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return "\n---\n".join(self.texts)


@dataclass(frozen=True)
class Prompt:
    """What the model reads."""

    text: str
    ids: list[int]
    stops: tuple[str, ...] = ()  # in addition to the caller's
    shown: frozenset[int] = frozenset()  # control tokens that are part of the text
    reasoning: tuple[str, ...] = ()  # markers of what the model thinks before it answers
    start: int | None = None  # what the decoder of an encoder-decoder begins with; None: the model's own
    seen: Mapping[str, Any] = field(default_factory=dict)  # images, as the model reads them with the prompt
    first: int | None = None  # the first token of its text, whatever the scores say


class TextPipeline(StreamingPipeline[R]):
    """One task: its `stream` makes a prompt of what the caller gives, and has it written.

    Events: "prompt" with its tokens, where their log-probabilities are asked for; "text" with a `Delta`: whole characters,
    never part of a stop string; and at last what the call returns.
    """

    command_line = "mmgen.cli.text_commands:command"  # what makes its command, see mmgen.cli.commands
    priority = "interactive"
    last: str  # kind of the last event, whose value is what a call returns
    stand_in: str | None = None  # a model in the place of the default one, where that has to be pulled first

    def __init__(self, rt: Runtime, *, model: str | None = None, draft: str | None = None, adapter: str | None = None) -> None:
        """Opens nothing yet.

        model: what writes: embedded:NAME, a folder or a repo id, with #int8 or #bf16 behind it if need be.
        draft: a smaller model of the same family that guesses ahead; what is written does not change.
        adapter: of the model, as PEFT and mmgen train sft write it: a folder, or a repo id. Pipelines with other adapters of
            the model run in the same batches.
        """
        self.rt, self.model, self.draft, self.adapter = rt, model, draft, adapter

    @property
    def reference(self) -> str:
        """The model that writes: the caller's, the default, or what stands in for it until it is pulled."""
        reference = self.model or self.rt.config.text
        if self.model is not None or self.stand_in is None or embedded.present(reference):
            return reference
        told = f"{reference} is not on this machine; get it with `mmgen pull {reference}`; {self.stand_in} writes instead"
        told_once(told)
        return self.stand_in

    def write(
        self,
        prompt: Callable[[TextClient], Prompt],
        params: TextParams,
        request: Request | None,
        answer: Callable[[Completion], Completion] = lambda completion: completion,
        images: bool = False,
    ) -> Iterator[Event]:
        """Loads, writes, and says what it took. Leaving it early cancels the request.

        Args:
            answer: what the call returns.
            images: whether the prompt has some.
        """
        request, clock = request or Request.new(priority=self.priority), Clock()
        client = self.rt.text(self.reference, self.draft, images=images)
        from mmgen.runners.generation import PromptRead, TextPiece  # torch is imported by now

        given = prompt(client)
        drawn = "stop strings" if given.stops else "guesses" if client.drafts else ""
        params = as_recommended(params, client.sampling, drawn)
        adapter = None if self.adapter is None else client.adapt(self.adapter)
        wanted = replace(requested(client, given, params), adapter=adapter)
        seed = request.drawn_seed() if params.seed is None or params.seed == -1 else params.seed
        clock.lap("load")
        for event in client.write(wanted, request, seed):
            if isinstance(event, PromptRead):
                yield Event("prompt", _prompt_tokens(client, wanted, event.choices))
                continue
            if "first" not in clock.stages:
                clock.lap("first")
            if isinstance(event, TextPiece):
                yield Event("text", _delta(client, event))
            else:
                clock.lap("write")
                completion = _completion(client, given.text, wanted, event, seed, clock, request)
                yield Event(self.last, answer(completion))


def as_recommended(params: TextParams, told: Mapping[str, Any], drawn: str = "") -> TextParams:
    """What the caller left open as the model's makers have it, see `text_model.recommended`.

    `drawn`: what there is that a search cannot do. So it is with some of the caller's wishes; then the likeliest token each
    is taken, or one is drawn where the caller says how.
    """
    left = params.unset & told.keys()
    values = {name: told[name] for name in left}
    if values.get("strategy") != "beam":
        return replace(params, **values)
    says, many = bool(DRAWING - params.unset), params.n > told["beams"]
    wishes = {
        "stop strings": params.stops,
        "log-probabilities": params.logprobs is not None,
        "guesses": params.lookup,
        drawn: drawn,
    }
    if asked := [name for name, wish in wishes.items() if wish]:
        told_once(f"its makers search with {told['beams']} beams, which know no {asked[0]}; tokens are taken one by one")
    if asked or says or many:
        values["strategy"] = "sample" if says or many else "greedy"
    return replace(params, **values)


def told_once(line: str) -> None:
    """Logs a line, once a process."""
    if line not in _told:
        _told.add(line)
        log.warning("%s", line)


def requested(client: TextClient, prompt: Prompt, params: TextParams) -> TextRequest:
    """The call as this model's runner takes it. Raises BadRequest for what the model cannot do."""
    from mmgen.runners.generation import TextRequest

    lm = client.model.lm
    if not lm.config.causal:
        raise BadRequest(f"{client.name} is an encoder, which writes nothing; take a causal model")
    for token in params.logit_bias or ():
        if isinstance(token, bool) or not isinstance(token, int) or not 0 <= token < lm.config.vocab_size:
            raise BadRequest(f"logit_bias names token {token!r}; {client.name} has 0 to {lm.config.vocab_size - 1}")
    source = None if lm.encoder is None else prompt.ids
    start = client.model.start_id or 0 if prompt.start is None else prompt.start
    ids = prompt.ids if source is None else [start]
    usual = max(1, min(USUAL, client.max_tokens - len(ids)))
    max_tokens = usual if params.max_tokens is None else params.max_tokens
    constraint = _constraint(client, params)
    if constraint is not None and (prompt.first is not None or client.forces_first):
        raise BadRequest(
            f"{client.name}'s texts begin with a token of its own, which a constraint forbids; leave the constraint out"
        )
    return TextRequest(
        ids,
        replace(params, max_tokens=max_tokens, stop=(*params.stops, *prompt.stops)),
        constraint=constraint,
        lookup=LOOKUP if params.lookup else 0,
        draft=DRAFT if client.drafts and not params.searches else 0,
        source=source,
        shown=prompt.shown,
        seen=prompt.seen,
        rules=client.rules(len(ids), max_tokens, source, prompt.first),
    )


def _constraint(client: TextClient, params: TextParams) -> Constraint | None:
    if params.regex is not None:
        return client.grammars.regex(params.regex)
    if params.json_schema is not None:
        return client.grammars.json_schema(_schema(params.json_schema))
    return None


def _schema(given: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """JSON itself, or what is in a file."""
    if not isinstance(given, str) or not given.endswith(".json"):
        return given
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(f"JSON schema {given} cannot be read ({why}); give a file, or the schema itself") from None


def _delta(client: TextClient, piece: TextPiece) -> Delta:
    return Delta(piece.index, piece.text, tokens=_tokens(client, piece.choices))


def _tokens(client: TextClient, choices: Sequence[SampledToken]) -> list[Token]:
    return [
        _token(client, one.token, one.logprob, [_token(client, token, logprob) for token, logprob in one.top])
        for one in choices
    ]


def _prompt_tokens(client: TextClient, wanted: TextRequest, choices: Sequence[SampledToken]) -> list[Token]:
    """The prompt's first token, which has no log-probability, and the others; a prompt hides no tokens."""
    tokens = [_token(client, wanted.prompt[0], None), *_tokens(client, choices)]
    return [replace(one, hidden=False) for one in tokens]


def _token(client: TextClient, token: int, logprob: float | None, top: Sequence[Token] = ()) -> Token:
    tokenizer = client.model.tokenizer
    raw = tokenizer.token_bytes(token)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "".join(f"\\x{byte:02x}" for byte in raw)
    return Token(text, logprob, list(top), list(raw), hidden=text in tokenizer.control)


def _completion(
    client: TextClient,
    prompt: str,
    wanted: TextRequest,
    finished: GenerationResult,
    seed: int,
    clock: Clock,
    request: Request,
) -> Completion:
    texts, params = finished.texts, wanted.params
    written = sum(len(one.ids) for one in texts)
    choices = finished.prompt_choices
    return Completion(
        prompt=prompt,
        texts=[one.text for one in texts],
        finish_reasons=[one.finish_reason for one in texts],
        usage=TokenUsage(finished.prompt_tokens, finished.cached_tokens, written, finished.guessed, finished.accepted),
        seed=seed,
        model=client.reference,
        timings=clock.laps(),
        logprobs=None if params.logprobs is None else [_tokens(client, one.choices) for one in texts],
        scores=[one.score for one in texts if one.score is not None] if params.strategy == "beam" else None,
        request_id=request.id,
        stops=[one.stop for one in texts] if params.stops else None,
        prompt_logprobs=None if choices is None else _prompt_tokens(client, wanted, choices),
        precision=client.host.precisions.get(client.reference, ""),
    )
