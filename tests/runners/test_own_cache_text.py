"""Models with the library's own cache through the engine: transformers' tokens alone, in company, in chunks, and forked."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import tiny_own_cache
import torch
from text_requests import text_request

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, Cancelled, DeadlineExceeded, JobFailed, TooLarge, TooLong
from mmgen.models.transformers_backend.backend import backend_of
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.runners.generation import GenerationResult, TextPiece, TextRequest, Vocabulary
from mmgen.runners.own_cache_text import OwnCacheRunner
from mmgen.text_params import Sampling

WAIT = 60.0
GREEDY = Sampling(temperature=0)
COUNT = 24
SEQ2SEQ = ("bart", "m2m_100", "marian", "mbart", "mt5", "pegasus", "t5")
RARE_SEQ2SEQ = (
    "bigbird_pegasus", "blenderbot", "blenderbot-small", "encoder-decoder", "fsmt", "led", "longt5", "mvp", "nllb-moe",
    "pegasus_x", "plbart", "prophetnet", "seamless_m4t", "seamless_m4t_v2", "switch_transformers", "t5gemma",
    "t5gemma2", "umt5",
)  # fmt: skip
CAUSAL = (
    "falcon_h1", "granitemoehybrid", "jamba", "lfm2", "mamba", "mamba2", "nemotron_h", "qwen3_5_text", "qwen3_next",
    "recurrent_gemma", "rwkv",
)  # fmt: skip
RARE_CAUSAL = (
    "axk2", "bailing_hybrid", "bamba", "big_bird", "codegen", "cpmant", "deepseek_v32", "deepseek_v4",
    "dots3_note_text", "falcon_mamba", "glm_moe_dsa", "gpt_neo", "gpt_neox_japanese", "hy_v4", "inkling2_text",
    "inkling_text", "kimi_linear", "lfm2_moe", "lfm3", "megatron-bert", "minimax", "mpt", "olmo_hybrid", "openai-gpt",
    "qwen3_5_moe_text", "rembert", "roformer", "trocr", "xglm", "xlm", "xlnet", "zamba", "zaya",
)  # fmt: skip
SOUND = (
    "audioflamingo3", "glmasr", "granite_speech", "granite_speech_plus", "moss_transcribe_diarize", "musicflamingo",
    "nemo_speechlm", "qwen2_audio", "qwen3_asr", "vibevoice_asr", "voxtral", "voxtral_realtime", "musicgen", "musicgen_melody",
    "whisper",
)  # fmt: skip
EXCEPTIONS = {
    **dict.fromkeys(SOUND, "its input is sound, not text"),
    **dict.fromkeys(
        ("dots3_note", "qwen3_5", "qwen3_5_moe", "qwen4_exp"), "a multimodal shell around a text model that is tried"
    ),
    "gemma4_assistant": "a draft model that reads another one's states",
    "qwen4_exp_text": "the library's own generate fails: its cache has no such layer",
    "reformer": "its positions are factors of one length, for which its weights are made",
    "xlstm": "the library's own generate fails without a package of kernels",
    "zamba2": "the library makes no small one of the shared layers that its names tie",
}


def slow(*names: str) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def decode(ids: Sequence[int]) -> str:
    return "".join(chr(32 + token) for token in ids)


VOCABULARY = Vocabulary(decode, frozenset())
PROMPTS = [[3 + (7 * at * (seed + 2) + seed) % 90 for at in range(length)] for seed, length in enumerate((7, 12, 7, 19))]


@cache
def loaded(name: str) -> OwnCacheLM:
    return OwnCacheLM((tiny_own_cache.seq2seq if name in (*SEQ2SEQ, *RARE_SEQ2SEQ) else tiny_own_cache.causal)(name))


def request(lm: OwnCacheLM, prompt: Sequence[int], count: int = COUNT, sampling: Sampling = GREEDY, **more: Any) -> TextRequest:
    if lm.encoder is None:
        return text_request(prompt, count, sampling, **more)
    start = lm.model.generation_config.decoder_start_token_id
    return text_request([start], count, sampling, source=prompt, **more)


def theirs(lm: OwnCacheLM, prompt: Sequence[int], count: int = COUNT, **options: Any) -> tuple[int, ...]:
    """What the library's generate writes."""
    out = lm.model.generate(torch.tensor([list(prompt)]), max_new_tokens=count, do_sample=False, **options)[0].tolist()
    return tuple(out[-count:])


@pytest.mark.slow  # it imports all of the library's models
def test_every_type_of_the_library_is_tried_or_excepted() -> None:
    from transformers.models.auto import modeling_auto

    known = set(modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    for name in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        if name in EXCEPTIONS or backend_of({"model_type": name}) == "own-cache":
            known.add(name)
    tried = {*SEQ2SEQ, *RARE_SEQ2SEQ, *CAUSAL, *RARE_CAUSAL}
    assert known - tried == set(EXCEPTIONS)


def runner(lm: OwnCacheLM, **options: Any) -> OwnCacheRunner:
    return OwnCacheRunner(lm, VOCABULARY, **{"memory": 10**9, **options})


def run(made: OwnCacheRunner, *requests: TextRequest, seed: int = 3) -> list[GenerationResult]:
    """All at once."""
    with Engine({"text": made}) as engine:
        handles = [engine.submit(Job("text", one, seed=seed + 100 * number)) for number, one in enumerate(requests)]
        found = [handle.result(WAIT) for handle in handles]
    assert not made.active
    return found


def tokens(finished: GenerationResult) -> list[tuple[int, ...]]:
    return [text.ids for text in finished.texts]


@pytest.mark.parametrize("name", [*SEQ2SEQ, *CAUSAL, *slow(*RARE_SEQ2SEQ, *RARE_CAUSAL)])
def test_greedy_is_that_of_transformers_alone_and_in_company(name: str) -> None:
    lm = loaded(name)
    expected = [theirs(lm, prompt) for prompt in PROMPTS]
    made = runner(lm)
    assert tokens(run(made, request(lm, PROMPTS[0], n=2))[0]) == [expected[0]] * 2
    assert (made.stacked > 0) == lm.stacks
    assert [tokens(one) for one in run(made, *(request(lm, prompt) for prompt in PROMPTS))] == [[one] for one in expected]


@pytest.mark.parametrize("name", ["bart", "t5", "falcon_h1", "mamba2", "jamba"])
@pytest.mark.parametrize("budget", [1, 5])
def test_prompts_are_read_in_parts_where_the_model_allows(name: str, budget: int) -> None:
    lm = loaded(name)
    made = runner(lm, budget=budget)
    assert [tokens(one) for one in run(made, *(request(lm, one) for one in PROMPTS))] == [[theirs(lm, one)] for one in PROMPTS]


@pytest.mark.parametrize("name", ["mamba2", "nemotron_h", "recurrent_gemma", "bart"])
def test_a_seed_gives_the_same_texts_in_any_company(name: str) -> None:
    lm = loaded(name)
    drawn = [request(lm, one, sampling=Sampling(temperature=1.5, top_k=40, min_p=0.01), n=3) for one in PROMPTS[:2]]
    alone = [tokens(run(runner(lm), one, seed=3 + 100 * number)[0]) for number, one in enumerate(drawn)]
    assert [tokens(one) for one in run(runner(lm), *drawn)] == alone
    assert len(set(alone[0])) == 3
    assert tokens(run(runner(lm), drawn[0], seed=4)[0])[:2] == alone[0][1:]


@pytest.mark.parametrize("name", ["falcon_h1", "mamba2", "bart", "t5"])
def test_beams_are_those_of_transformers(name: str) -> None:
    lm = loaded(name)
    for prompt in PROMPTS[:2]:
        found = run(runner(lm), request(lm, prompt, strategy="beam", beams=3))[0]
        assert tokens(found) == [theirs(lm, prompt, num_beams=3)]


@pytest.mark.parametrize("name", ["mamba", "t5"])
def test_contrastive_search_goes_on_alone_as_in_company(name: str) -> None:
    lm = loaded(name)
    asked = [request(lm, prompt, strategy="contrastive") for prompt in PROMPTS]
    alone = [tokens(run(runner(lm), one)[0]) for one in asked]
    assert [tokens(one) for one in run(runner(lm), *asked)] == alone
    greedy = [request(lm, prompt, strategy="contrastive", alpha=0.0) for prompt in PROMPTS]
    assert [tokens(one) for one in run(runner(lm, budget=4), *greedy)] == [[theirs(lm, prompt)] for prompt in PROMPTS]


def test_it_streams_and_tells_logprobs_and_stops() -> None:
    lm = loaded("mamba2")
    whole = decode(theirs(lm, PROMPTS[0]))
    with Engine({"text": runner(lm)}) as engine:
        handle = engine.submit(Job("text", request(lm, PROMPTS[0], logprobs=2, stop=whole[9:12]), seed=1))
        pieces = [event for event in handle.events(WAIT) if isinstance(event, TextPiece)]
        found = handle.result(WAIT).texts[0]
    assert "".join(piece.text for piece in pieces) == found.text == whole[: whole.index(whole[9:12])]
    assert len(pieces) > 3 and found.finish_reason == "stop"
    assert len(found.choices) == len(found.ids) and all(one.logprob <= 0 for one in found.choices)


def test_cancel_and_deadline_end_a_text_between_two_tokens() -> None:
    lm = loaded("mamba")
    made = runner(lm)
    with Engine({"text": made}) as engine:
        gone, late = Request.new(), Request.new(timeout_s=0.3)
        handles = [engine.submit(Job("text", request(lm, PROMPTS[0], 100_000), one, seed=1)) for one in (gone, late)]
        next(handles[0].events(WAIT))
        gone.cancel()
        with pytest.raises(Cancelled):
            handles[0].result(WAIT)
        with pytest.raises(DeadlineExceeded):
            handles[1].result(WAIT)
        assert tokens(engine.submit(Job("text", request(lm, PROMPTS[0]))).result(WAIT)) == [theirs(lm, PROMPTS[0])]
    assert not made.active


@pytest.mark.parametrize("name", ["jamba", "recurrent_gemma", "openai-gpt"])
def test_log_probabilities_of_a_prompt_are_those_of_its_logits(name: str) -> None:
    """Read in parts where the model allows it, beside others."""
    lm = loaded(name)
    wanted = request(lm, PROMPTS[3], 4, prompt_logprobs=2)
    found, other = run(runner(lm, budget=5), wanted, request(lm, PROMPTS[0]))
    with torch.inference_mode():
        expected = lm.model(torch.tensor([PROMPTS[3]])).logits[0].float().log_softmax(-1)
    assert found.prompt_choices is not None and [one.token for one in found.prompt_choices] == PROMPTS[3][1:]
    for one, row in zip(found.prompt_choices, expected, strict=False):
        assert one.logprob == pytest.approx(float(row[one.token]), abs=1e-4)
        assert [token for token, _ in one.top] == row.topk(2).indices.tolist()
    assert tokens(found) == [theirs(lm, PROMPTS[3], 4)] and tokens(other) == [theirs(lm, PROMPTS[0])]


def test_texts_wait_until_there_is_memory_and_what_never_fits_is_refused() -> None:
    lm = loaded("falcon_h1")
    asked = request(lm, PROMPTS[0])
    needed = runner(lm).reserve(Job("text", asked))
    assert needed == 2 * lm.size.of(7 + COUNT, 0)
    made = runner(lm, memory=needed)
    assert [tokens(one)[0] for one in run(made, asked, asked, asked)] == [theirs(lm, PROMPTS[0])] * 3
    assert made.stacked == 0
    with pytest.raises(TooLarge, match=r"^7 tokens of prompt and 1 x 25 of answer need [\d,]+ bytes of cache, there are"):
        made.reserve(Job("text", request(lm, PROMPTS[0], COUNT + 1)))


def test_what_it_cannot_do_is_refused_in_one_line() -> None:
    made = runner(loaded("bart"))
    for more, message in (({"lookup": 4}, "cannot step back"), ({"adapter": "x"}, "takes no adapter")):
        with pytest.raises(BadRequest, match=message):
            made.reserve(Job("text", request(made.lm, PROMPTS[0], **more)))
    with pytest.raises(TooLong, match="the source is 200 tokens, the model reads 128; shorten it"):
        made.reserve(Job("text", request(made.lm, [5] * 200)))
    with pytest.raises(TooLong, match="max_tokens 128 are 129, the model holds 128"):
        made.reserve(Job("text", request(made.lm, PROMPTS[0], 128)))
    with pytest.raises(BadRequest, match="asked of an encoder, which predicts nothing"):
        made.reserve(Job("text", request(made.lm, PROMPTS[0], prompt_logprobs=1)))


def test_a_failing_pass_is_taken_apart_so_that_the_bad_job_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = loaded("qwen3_5_text")
    expected = [theirs(lm, prompt) for prompt in PROMPTS]
    bad = next(token for token in range(96) if not any(token in ids for ids in (*PROMPTS, *expected)))
    read = lm.read

    def fails(texts: Sequence[Any], *options: bool) -> Any:
        if any(bad in ids for _, ids in texts):
            raise ValueError("cannot read this")
        return read(texts, *options)

    monkeypatch.setattr(lm, "read", fails)
    asked = [request(lm, prompt) for prompt in PROMPTS]
    forced = request(lm, PROMPTS[1], logit_bias={bad: 100})
    with Engine({"text": runner(lm)}) as engine:
        handles = [engine.submit(Job("text", one)) for one in (*asked[:2], forced, *asked[2:])]
        with pytest.raises(JobFailed, match="cannot read this"):
            handles.pop(2).result(WAIT)
        assert [tokens(handle.result(WAIT)) for handle in handles] == [[one] for one in expected]


@pytest.mark.parametrize("name", ["falcon_h1", "bart", "recurrent_gemma"])
def test_texts_that_nobody_waits_for_pause_between_layers_for_those_that_stream(name: str) -> None:
    lm = loaded(name)
    made = runner(lm)
    with Engine({"text": made}, max_gap_ms=0.01) as engine:
        batch = [engine.submit(Job("text", request(lm, one), Request.new(priority="batch"), seed=1)) for one in PROMPTS]
        streams = [engine.submit(Job("text", request(lm, one), Request.new(priority="interactive"))) for one in PROMPTS]
        found = [tokens(handle.result(WAIT)) for handle in (*batch, *streams)]
    assert found == 2 * [[theirs(lm, one)] for one in PROMPTS]
