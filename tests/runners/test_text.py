"""Texts through the engine: transformers' tokens alone, in company, in chunks, with shared beginnings, after preemption."""

import random
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Handle, Job, Request
from mmgen.errors import BadRequest, BadWeights, Cancelled, JobFailed, MmgenError, TooLarge, TooLong
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import Adapters
from mmgen.models.lm.paged.block_manager import SIZE
from mmgen.models.lm.sequence_search import Contrastive
from mmgen.runners.generation import GenerationResult, TextPiece, TextRequest, Vocabulary
from mmgen.runners.kv_cache_manager import KVCacheManager
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

WAIT = 60.0
GREEDY = Sampling(temperature=0)
LETTERS = string.ascii_letters + string.digits + string.punctuation + " \n"
NEVER: frozenset[int] = frozenset()


def decode(ids: Sequence[int]) -> str:
    """Every token is a letter."""
    return "".join(LETTERS[token] for token in ids)


VOCABULARY = Vocabulary(decode, NEVER)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, LanguageModel]:
    """A tiny llama in transformers, and here."""
    folder = tmp_path_factory.mktemp("llama")
    theirs = checkpoints.saved(checkpoints.llama(max_position_embeddings=512), folder)
    return theirs, language_model.load(folder)


@pytest.fixture(scope="module")
def lm(pair: tuple[Any, LanguageModel]) -> LanguageModel:
    return pair[1]


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    folder = tmp_path_factory.mktemp("draft")
    checkpoints.saved(checkpoints.llama(num_hidden_layers=1), folder)
    return language_model.load(folder)


def ids(length: int, seed: int) -> list[int]:
    return [random.Random(seed).randrange(checkpoints.VOCABULARY) for _ in range(length)]


def runner(lm: LanguageModel, blocks: int = 400, **options: Any) -> TextRunner:
    made = TextRunner(lm, VOCABULARY, memory=0, **options)
    return TextRunner(lm, VOCABULARY, memory=blocks * made.places.block_bytes, **options)


def submit(engine: Engine, *requests: TextRequest, seed: int = 3) -> list[Handle]:
    return [engine.submit(Job("text", request, seed=seed + 100 * number)) for number, request in enumerate(requests)]


def run(made: TextRunner, *requests: TextRequest, seed: int = 3) -> list[GenerationResult]:
    """All at once; no block is left held."""
    with Engine({"text": made}) as engine:
        found = [handle.result(WAIT) for handle in submit(engine, *requests, seed=seed)]
    assert made.places.pool.references.sum() == 0
    return found


def tokens(finished: GenerationResult) -> list[tuple[int, ...]]:
    return [text.ids for text in finished.texts]


def theirs(pair: tuple[Any, LanguageModel], prompt: Sequence[int], count: int, **options: Any) -> list[int]:
    given = torch.tensor([list(prompt)])
    options = {"do_sample": False, "pad_token_id": 0, **options}
    out = pair[0].generate(given, attention_mask=torch.ones_like(given), max_new_tokens=count, **options)
    return [int(token) for token in out[0, len(prompt) :]]


PROMPTS = [ids(length, seed) for seed, length in enumerate((1, 40, 17, 100, 33))]


@pytest.fixture(scope="module")
def expected(pair: tuple[Any, LanguageModel]) -> list[tuple[int, ...]]:
    """transformers' greedy 48 tokens behind each prompt."""
    return [tuple(theirs(pair, prompt, 48)) for prompt in PROMPTS]


def greedy(**more: Any) -> list[TextRequest]:
    return [text_request(prompt, 48, GREEDY, **more) for prompt in PROMPTS]


@pytest.mark.parametrize("budget", [1, 7, SIZE, 50, 1000])
def test_greedy_is_that_of_transformers_whatever_the_chunks(
    lm: LanguageModel, expected: list[tuple[int, ...]], budget: int
) -> None:
    assert [tokens(one) for one in run(runner(lm, budget=budget), *greedy())] == [[one] for one in expected]


def test_adapters_share_passes_and_no_blocks(pair: tuple[Any, LanguageModel], tmp_path: Path) -> None:
    checkpoints_folder = tmp_path / "own"
    language_model.save(pair[1], checkpoints_folder)
    lm = language_model.load(checkpoints_folder)
    adapters = Adapters(lm, lm.names())
    torch.manual_seed(0)
    for name in ("a", "b"):
        adapters.add(name, targets=["qkv", "down"])
        with torch.no_grad():
            for parameter in adapters.parameters(name):
                parameter.normal_(std=0.3)
    requests = [text_request(PROMPTS[1], 24, GREEDY, adapter=name) for name in ("a", None, "b", "a")]
    together = [tokens(one) for one in run(runner(lm, adapters=adapters, budget=50), *requests)]
    alone = [tokens(run(runner(lm, adapters=adapters), request)[0]) for request in requests]
    assert together == alone and together[0] == together[3]
    assert len({str(one) for one in together}) == 3
    with Engine({"text": runner(lm, adapters=adapters)}) as engine:  # one after the other: the same prompt, known or not
        kept = [submit(engine, request)[0].result(WAIT) for request in requests]
    assert [tokens(one) for one in kept] == alone
    assert [one.cached_tokens for one in kept] == [0, 0, 0, 2 * SIZE]
    with Engine({"text": runner(lm)}) as engine, pytest.raises(BadRequest, match="there is no adapter 'a'; load it first"):
        submit(engine, requests[0])[0].result(WAIT)


def test_greedy_alone(lm: LanguageModel, expected: list[tuple[int, ...]]) -> None:
    for request, wanted in zip(greedy(), expected, strict=True):
        (found,) = run(runner(lm), request)
        assert tokens(found) == [wanted]
        assert (found.texts[0].finish_reason, found.prompt_tokens) == ("length", len(request.prompt))
        assert found.texts[0].text == decode(wanted)


@settings(max_examples=5, deadline=None)
@given(st.data())
def test_greedy_in_mixed_arrivals(lm: LanguageModel, expected: list[tuple[int, ...]], data: st.DataObject) -> None:
    """Jobs come while others are under way: the runner is stepped by hand."""
    made = runner(lm, blocks=data.draw(st.sampled_from([13, 20, 400])), budget=data.draw(st.sampled_from([16, 48])))
    order = data.draw(st.permutations(range(5)))
    arrivals = data.draw(st.lists(st.integers(0, 30), min_size=5, max_size=5))
    jobs = {number: Job("text", greedy()[number]) for number in order}
    for turn in range(2000):
        alive = [jobs[n] for n in order if arrivals[n] <= turn and jobs[n].ended is None]
        if not alive and turn > max(arrivals):
            break
        if alive:
            made.step(alive)
        for job in jobs.values():
            if job.ended is not None:
                made.release(job)
    assert [tokens(jobs[n].future.result(0)) for n in range(5)] == [[one] for one in expected]


def test_a_shared_beginning_is_read_once(lm: LanguageModel) -> None:
    start = ids(70, 9)
    requests = [text_request([*start, *ids(5, seed)], 20, GREEDY) for seed in range(4)]
    apart = [tokens(run(runner(lm), request)[0]) for request in requests]
    made = runner(lm)
    together = run(made, *requests)
    assert [tokens(one) for one in together] == apart
    assert [one.cached_tokens for one in together] == [0, 64, 64, 64]
    (again,) = run(made, requests[1])
    assert (tokens(again), again.cached_tokens) == (apart[1], 64)


SAMPLED = Sampling(temperature=0.9, top_p=0.95, repetition_penalty=1.1, presence_penalty=0.2, logprobs=2)
KINDS = {
    "sampled": text_request(PROMPTS[1], 40, SAMPLED),
    "three": text_request(PROMPTS[2], 40, SAMPLED, n=3),
    "looked up": text_request(PROMPTS[2] * 2, 40, replace(SAMPLED, temperature=0.3), lookup=8),
    "drafted": text_request(PROMPTS[1], 40, Sampling(), draft=3),
    "drafted twice": text_request(PROMPTS[4], 40, Sampling(top_k=20), draft=4, n=2),
    "beam": text_request(PROMPTS[1], 40, strategy="beam", beams=3, ends=frozenset({5, 6})),
    "contrastive": text_request(PROMPTS[4], 40, strategy="contrastive"),
}


@pytest.fixture(scope="module")
def alone(lm: LanguageModel, draft: LanguageModel) -> dict[str, GenerationResult]:
    return {name: run(runner(lm, draft=draft), request)[0] for name, request in KINDS.items()}


def same(one: GenerationResult, other: GenerationResult) -> bool:
    logprobs = [[choice.logprob for text in found.texts for choice in text.choices] for found in (one, other)]
    return tokens(one) == tokens(other) and logprobs[0] == pytest.approx(logprobs[1], abs=1e-4)


def in_company(made: TextRunner) -> dict[str, GenerationResult]:
    with Engine({"text": made}) as engine:
        others = submit(engine, *greedy()[:3])
        handles = {name: submit(engine, request)[0] for name, request in KINDS.items()}
        more = submit(engine, *greedy()[3:])
        found = {name: handle.result(WAIT) for name, handle in handles.items()}
        for handle in (*others, *more):
            handle.result(WAIT)
    assert made.places.pool.references.sum() == 0
    return found


def test_a_seed_gives_the_same_text_in_any_company(
    lm: LanguageModel, draft: LanguageModel, alone: dict[str, GenerationResult]
) -> None:
    found = in_company(runner(lm, draft=draft, budget=40))
    assert [name for name in KINDS if not same(found[name], alone[name])] == []


@pytest.mark.parametrize("hasty", [False, True])
def test_a_preempted_job_gives_the_same_text(
    lm: LanguageModel,
    draft: LanguageModel,
    alone: dict[str, GenerationResult],
    hasty: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if hasty:  # jobs are let in where they will soon be preempted
        monkeypatch.setattr(KVCacheManager, "_comfortable", lambda *_: True)
    made = runner(lm, blocks=24, draft=draft, budget=40)
    found = in_company(made)
    assert made.places.preempted > (10 if hasty else 0)
    assert [name for name in KINDS if not same(found[name], alone[name])] == []


def test_another_seed_gives_another_text(lm: LanguageModel, alone: dict[str, GenerationResult]) -> None:
    assert tokens(run(runner(lm), KINDS["sampled"], seed=4)[0]) != tokens(alone["sampled"])


def test_text_i_of_a_seed_is_the_text_of_its_successor(lm: LanguageModel, alone: dict[str, GenerationResult]) -> None:
    for index in range(3):
        (found,) = run(runner(lm), replace(KINDS["three"], params=replace(KINDS["three"].params, n=1)), seed=3 + index)
        assert tokens(found)[0] == tokens(alone["three"])[index]


@pytest.mark.parametrize("early", [True, False, "never"])
@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.5])
def test_beams_are_those_of_transformers(pair: tuple[Any, LanguageModel], early: Any, penalty: float) -> None:
    options = {"num_beams": 4, "early_stopping": early, "length_penalty": penalty, "eos_token_id": [5, 6, 7]}
    request = text_request(
        PROMPTS[1], 30, strategy="beam", beams=4, early_stopping=early, length_penalty=penalty, ends=frozenset({5, 6, 7}), n=2
    )
    given = torch.tensor([PROMPTS[1]])
    out = pair[0].generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=30, do_sample=False, pad_token_id=90,
        num_return_sequences=2, return_dict_in_generate=True, output_scores=True, **options,
    )  # fmt: skip
    (found,) = run(runner(pair[1]), request)
    for row, text in enumerate(found.texts):
        wanted = out.sequences[row, len(PROMPTS[1]) :].tolist()
        assert list(text.ids) == wanted[: len(text.ids)] and set(wanted[len(text.ids) :]) <= {90}
        assert text.score == pytest.approx(float(out.sequences_scores[row]), abs=1e-4)


def test_beams_with_a_penalty_are_those_of_transformers(pair: tuple[Any, LanguageModel]) -> None:
    request = text_request(PROMPTS[2], 20, Sampling(repetition_penalty=1.4), strategy="beam", beams=3)
    (found,) = run(runner(pair[1]), request)
    assert list(found.texts[0].ids) == theirs(pair, PROMPTS[2], 20, num_beams=3, repetition_penalty=1.4)


@torch.inference_mode()
def naive_contrastive(lm: LanguageModel, prompt: list[int], count: int) -> tuple[int, ...]:
    """Everything is read anew for every candidate."""
    text, search = list(prompt), Contrastive()
    for _ in range(count):
        before = lm.hidden(torch.tensor([text]))[0]
        candidates = search.propose(lm.logits(before[-1]))
        states = [lm.hidden(torch.tensor([[*text, token]]))[0, -1] for token in candidates]
        text.append(candidates[search.choose(torch.stack(states), before)])
    return tuple(text[len(prompt) :])


def test_contrastive_search_is_its_naive_twin(lm: LanguageModel, alone: dict[str, GenerationResult]) -> None:
    assert tokens(alone["contrastive"]) == [naive_contrastive(lm, PROMPTS[4], 40)]


@pytest.mark.parametrize("temperature", [0, 0.5], ids=["greedy", "sampled"])
def test_looking_up_changes_no_token(lm: LanguageModel, temperature: float) -> None:
    sampling = Sampling(temperature=temperature, repetition_penalty=0.4)  # it likes to repeat
    request = text_request(PROMPTS[2] * 3, 120, sampling)
    (plain,), (guessed,) = run(runner(lm), request), run(runner(lm), replace(request, lookup=8))
    assert same(plain, guessed)
    assert guessed.guessed >= guessed.accepted > 10


def test_a_draft_changes_no_greedy_token(lm: LanguageModel, draft: LanguageModel, expected: list[tuple[int, ...]]) -> None:
    found = run(runner(lm, draft=draft, budget=30), *greedy(draft=4))
    assert [tokens(one) for one in found] == [[one] for one in expected]
    assert all(one.guessed > 20 for one in found)


def test_a_draft_that_is_the_model_is_right(lm: LanguageModel) -> None:
    found = run(runner(lm, draft=lm), text_request(PROMPTS[1], 41, Sampling(), draft=4))[0]
    assert found.accepted == found.guessed == 32  # 40 tokens behind the first, four of five guessed


@torch.inference_mode()
def test_drafted_texts_are_distributed_as_the_model_draws(tmp_path: Path) -> None:
    """Chi-square over all texts of three tokens from a vocabulary of five, 1,920 of them; cells under 5 are put together."""
    pairs = []
    for name, layers in (("model", 2), ("draft", 1)):
        maker = checkpoints.llama(vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=layers)
        checkpoints.saved(maker, tmp_path / name)
        pairs.append(language_model.load(tmp_path / name))
    model, small = pairs
    sampling, prompt, total = Sampling(temperature=1.5), [1, 2, 3], 1920
    requests = [text_request(prompt, 3, sampling, n=64, draft=2)] * (total // 64)
    found = run(runner(model, blocks=2000, draft=small), *requests)
    counts = Counter(text for one in found for text in tokens(one))
    texts = torch.cartesian_prod(*[torch.arange(5)] * 3)
    logits = model(torch.cat([torch.tensor([prompt]).expand(125, -1), texts], 1))[:, 2:5] / 1.5
    p = logits.log_softmax(-1).gather(2, texts[..., None]).sum((1, 2)).exp()
    large = total * p >= 5
    seen = torch.tensor([float(counts[tuple(text)]) for text in texts.tolist()])
    cells = [(float(n), total * float(q)) for n, q in zip(seen[large], p[large], strict=True)]
    cells.append((float(seen[~large].sum()), total * float(p[~large].sum())))
    statistic, freedom = sum((n - e) ** 2 / e for n, e in cells), len(cells) - 1
    assert freedom > 10
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5
    accepted = sum(one.accepted for one in found) / sum(one.guessed for one in found)
    assert 0.2 < accepted < 0.98


@pytest.mark.parametrize("family", ["gpt2", "mistral", "gemma2", "bloom", "mixtral", "gemma3_text", "t5", "marian"])
def test_every_kind_of_attention_is_that_of_transformers(family: str, tmp_path: Path) -> None:
    """Learned positions, windows, soft caps, ALiBi, relative bias, experts, encoder-decoders; two texts, in chunks."""
    model = checkpoints.saved(checkpoints.FAMILIES[family], tmp_path)
    ours = language_model.load(tmp_path)
    requests, wanted = [], []
    for prompt in (ids(21, 1), ids(38, 2)):
        given = torch.tensor([prompt])
        out = model.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=30, do_sample=False)[0].tolist()
        if ours.encoder is None:
            requests.append(text_request(prompt, 30, GREEDY))
            wanted.append([tuple(out[len(prompt) :])])
        else:
            requests.append(text_request(out[:1], 30, GREEDY, source=prompt))
            wanted.append([tuple(out[1:])])
    assert [tokens(one) for one in run(runner(ours, budget=16), *requests)] == wanted


def test_texts_end_at_their_end_token_and_at_stop_strings(lm: LanguageModel, expected: list[tuple[int, ...]]) -> None:
    whole = decode(expected[1])
    end, stop = expected[1][20], whole[9:12]
    ended, stopped, both = run(
        runner(lm),
        text_request(PROMPTS[1], 48, GREEDY, ends=frozenset({end})),
        text_request(PROMPTS[1], 48, GREEDY, stop=("never there", stop)),
        text_request(PROMPTS[1], 48, GREEDY, stop=(stop,), lookup=8),
    )
    first = expected[1].index(end)
    assert (ended.texts[0].ids, ended.texts[0].finish_reason) == (expected[1][: first + 1], "stop")
    assert ended.texts[0].text == decode(expected[1][:first])
    for found in (stopped, both):
        assert (found.texts[0].text, found.texts[0].finish_reason) == (whole[: whole.index(stop)], "stop")


def test_pieces_are_the_text_and_carry_the_log_probabilities(lm: LanguageModel) -> None:
    request = text_request(PROMPTS[2], 30, replace(SAMPLED, logprobs=2), n=2)
    with Engine({"text": runner(lm)}) as engine:
        (handle,) = submit(engine, request)
        pieces: list[TextPiece] = list(handle.events(WAIT))
        texts = handle.result(WAIT).texts
    for index, text in enumerate(texts):
        own = [piece for piece in pieces if piece.index == index]
        assert "".join(piece.text for piece in own) == text.text
        assert tuple(choice for piece in own for choice in piece.choices) == text.choices
        assert [choice.token for choice in text.choices] == list(text.ids)
    with torch.inference_mode():
        logprobs = lm(torch.tensor([[*PROMPTS[2], *texts[0].ids]]))[0, len(PROMPTS[2]) - 1 : -1].log_softmax(-1)
    for row, choice in zip(logprobs, texts[0].choices, strict=True):
        assert choice.logprob == pytest.approx(float(row[choice.token]), abs=1e-4)
        assert [token for token, _ in choice.top] == row.topk(2).indices.tolist()


class Forbidding:
    """A constraint that allows the tokens of one set, and after `most` tokens none."""

    def __init__(self, allowed: set[int], most: int = 100) -> None:
        self.allowed, self.most = allowed, most

    complete = False

    def mask(self) -> torch.Tensor:
        if self.most == 0:
            raise BadRequest("no token can continue; loosen it")
        mask = torch.zeros(checkpoints.VOCABULARY, dtype=torch.bool)
        mask[list(self.allowed)] = True
        return mask

    def accept(self, token: int) -> None:
        assert token in self.allowed
        self.most -= 1

    def copy(self) -> "Forbidding":
        return Forbidding(self.allowed, self.most)


@pytest.mark.parametrize("kind", ["sampled", "three", "looked up", "drafted", "beam", "contrastive"])
def test_every_strategy_keeps_a_constraint(lm: LanguageModel, draft: LanguageModel, kind: str) -> None:
    allowed = {3, 8, 9, 40, 41}
    constraint: Any = Forbidding(allowed)
    (found,) = run(runner(lm, draft=draft), replace(KINDS[kind], constraint=constraint))
    assert all(set(text.ids) <= allowed and len(text.ids) == 40 for text in found.texts)
    assert constraint.most == 100  # the request's own was not used up


def test_a_bad_job_fails_alone(lm: LanguageModel, expected: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = LanguageModel.hidden

    def fails(self: LanguageModel, read: torch.Tensor, *given: Any, **more: Any) -> torch.Tensor:
        if 77 in read:
            raise ValueError("seventy-seven")
        states = hidden(self, read, *given, **more)
        return states.masked_fill((read == 78)[..., None], float("nan"))

    monkeypatch.setattr(LanguageModel, "hidden", fails)
    constraint: Any = Forbidding({1, 2}, most=5)
    bad = [
        text_request([1, 77, 2], 48, GREEDY),
        text_request([1, 2], 48, GREEDY, constraint=constraint),
        text_request([1, 78], 48, GREEDY),
        text_request([1, 78], 48),
        text_request([3], 48, GREEDY, strategy="beam", constraint=constraint),
    ]
    good = [request for request, wanted in zip(greedy(), expected, strict=True) if not {77, 78} & {*request.prompt, *wanted}]
    wanted = [one for one in expected if not any(token in (77, 78) for token in one)]
    assert good
    made = runner(lm)
    with Engine({"text": made}) as engine:
        handles = submit(engine, *bad, *good)
        errors = [error_of(handle) for handle in handles[: len(bad)]]
        found = [handle.result(WAIT) for handle in handles[len(bad) :]]
    assert [type(error) for error in errors] == [JobFailed, BadRequest, BadWeights, BadWeights, BadRequest]
    assert all(one.texts[0].ids in wanted for one in found)
    assert made.places.pool.references.sum() == 0


def error_of(handle: Handle) -> MmgenError:
    with pytest.raises(MmgenError) as caught:
        handle.result(WAIT)
    return caught.value


def test_a_cancelled_job_gives_back_its_blocks(lm: LanguageModel) -> None:
    made = runner(lm)
    with Engine({"text": made}) as engine:
        handles = [engine.submit(Job("text", text_request(PROMPTS[3], 400, n=4), Request.new())) for _ in range(3)]
        next(handles[0].events(WAIT))
        for handle in handles:
            handle.cancel()
        assert all(isinstance(error_of(handle), Cancelled) for handle in handles)
    assert made.places.pool.references.sum() == 0 and not made.places.active


def test_units_are_the_tokens_read(lm: LanguageModel) -> None:
    made = runner(lm, budget=64)
    jobs = [Job("text", text_request(ids(length, length), 5, GREEDY)) for length in (10, 200)]
    made.step(jobs)
    assert [job.units for job in jobs] == [10, 54]
    made.step(jobs)
    assert [job.units for job in jobs] == [1, 63]


def test_reserved_is_what_full_length_takes(lm: LanguageModel) -> None:
    made = runner(lm)
    block = SIZE * 2 * 2 * 2 * 16 * 4  # tokens, keys and values, layers, heads, width, bytes
    assert made.reserve(Job("text", text_request(ids(20, 1), 16))) == (2 + 3) * block
    assert made.reserve(Job("text", text_request(ids(20, 1), 16, n=4))) == (2 + 4 * 3) * block


@pytest.mark.parametrize(
    ("request_", "kind", "told"),
    [
        (text_request([], 5), BadRequest, "the prompt is empty; begin the text with a word"),
        (text_request([1] * 512, 5), TooLong, "the prompt is 512 tokens, the model reads 512; shorten it"),
        (text_request([1] * 500, 13), TooLong, "500 tokens of prompt and max_tokens 13 are 513, the model holds 512; ask for"),
        (text_request([1], 10**9), TooLong, "1 tokens of prompt and max_tokens 1000000000 are 1000000001, the model holds 512"),
        (text_request([1], 500, n=20), TooLarge, "1 tokens of prompt and 20 x 500 of answer need "),
        (text_request([1], 5, draft=3), BadRequest, "there is no draft model to guess with"),
        (text_request([1], 5, strategy="beam", beams=2, n=3), BadRequest, "n is 3; beam search over 2 texts gives 2 at most"),
        (text_request([1], 5, strategy="beam", lookup=3), BadRequest, "beam search takes no guesses"),
        (text_request([1], 5, strategy="beam", stop=("a",)), BadRequest, "beam search knows no stop strings"),
    ],
)
def test_what_cannot_be_written(lm: LanguageModel, request_: TextRequest, kind: type[MmgenError], told: str) -> None:
    with Engine({"text": runner(lm)}) as engine, pytest.raises(kind) as caught:
        submit(engine, request_)
    assert str(caught.value).startswith(told)


def test_a_draft_of_another_vocabulary(lm: LanguageModel, tmp_path: Path) -> None:
    checkpoints.saved(checkpoints.llama(vocab_size=50), tmp_path)
    with pytest.raises(BadRequest, match=r"^the draft model knows 50 tokens, the model 96; take a draft of the same family$"):
        TextRunner(lm, VOCABULARY, memory=10**6, draft=language_model.load(tmp_path))


def long_texts(folder: Path, kind: str) -> tuple[Any, LanguageModel]:
    """A model whose rotary frequencies depend on how long a text is: from 33 tokens on."""
    told = checkpoints.LONG if kind == "longrope" else {"rope_type": "dynamic", "factor": 3.0}
    more = {"original_max_position_embeddings": 32} if kind == "longrope" else {"max_position_embeddings": 32}
    model = checkpoints.saved(
        (checkpoints.phi3 if kind == "longrope" else checkpoints.llama)(**checkpoints.rope(**told), **more), folder
    )
    ours = language_model.load(folder)
    if kind == "dynamic":  # it may write beyond
        ours.config = replace(ours.config, max_tokens=128)
    return model, ours


@pytest.mark.parametrize("options", [{}, {"lookup": 4}, {"draft": 3}], ids=["plain", "lookup", "draft"])
@pytest.mark.parametrize("budget", [7, 1000])
def test_longrope_takes_the_factors_of_the_whole_text(tmp_path: Path, budget: int, options: dict[str, Any]) -> None:
    """Short and long factors in one batch, and texts that cross the border at once, later, never, and from the start."""
    both = long_texts(tmp_path, "longrope")
    prompts = [ids(length, seed) for seed, length in enumerate((1, 20, 31, 32, 33, 60, 4))]
    if "lookup" in options:
        prompts = [
            (prompt * 60)[: len(prompt)] if len(prompt) < 9 else [*prompt[:5], *prompt[:5], *prompt[:5], *prompt][: len(prompt)]
            for prompt in prompts
        ]
    counts = [24] * 6 + [20]
    expected = [tuple(theirs(both, prompt, count)) for prompt, count in zip(prompts, counts, strict=True)]
    made = runner(both[1], budget=budget, draft=both[1] if "draft" in options else None)
    requests = [text_request(prompt, count, GREEDY, **options) for prompt, count in zip(prompts, counts, strict=True)]
    assert [tokens(one)[0] for one in run(made, *requests)] == expected
    if options:
        assert sum(one.guessed for one in run(made, *requests)) > 0


def test_texts_of_other_factors_share_no_keys(tmp_path: Path) -> None:
    both = long_texts(tmp_path, "longrope")
    start, made = ids(33, 5), runner(both[1])
    short, long = start[:20], start
    with Engine({"text": made}) as engine:
        found = [submit(engine, text_request(prompt, 8, GREEDY))[0].result(WAIT) for prompt in (short, long, long, short)]
    assert [tokens(one)[0] for one in found] == [tuple(theirs(both, prompt, 8)) for prompt in (short, long, long, short)]
    assert [one.cached_tokens for one in found] == [0, 0, 2 * SIZE, SIZE]


def test_dynamic_ntk_turns_a_prompt_by_its_length(tmp_path: Path) -> None:
    both = long_texts(tmp_path, "dynamic")
    prompts = [ids(length, seed) for seed, length in enumerate((25, 32, 50, 70))]
    prompts.append(prompts[3][:60])
    expected = []
    for prompt in prompts:  # theirs remembers the longest text it had
        both[0].model.rotary_emb.max_seq_len_cached = 32
        both[0].model.rotary_emb.inv_freq = both[0].model.rotary_emb.original_inv_freq
        expected.append(tuple(theirs(both, prompt, 24)))
    requests = [text_request(prompt, 24, GREEDY) for prompt in prompts]
    for budget in (9, 1000):
        assert [tokens(one)[0] for one in run(runner(both[1], budget=budget), *requests)] == expected
