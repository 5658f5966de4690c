"""text on a tiny model: seeds, strategies, events, constraints, and what callers get wrong."""

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, MmgenError, NotFound, TooLong, UnreadableFile
from mmgen.pipelines import signature
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.language.text_pipeline import Completion, Delta
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime

PROMPT = "the way home"
SHORT: dict[str, Any] = {"max_tokens": 20, "seed": 7}


@pytest.fixture
def text(writer: Runtime) -> TextGeneration:
    return TextGeneration(writer)


def test_greedy_is_that_of_transformers(text: TextGeneration, tiny_llama: Path) -> None:
    from transformers import LlamaForCausalLM

    theirs = LlamaForCausalLM.from_pretrained(tiny_llama).eval()
    ids = text.rt.text().model.encode(PROMPT)
    given = torch.tensor([ids])
    out = theirs.generate(given, attention_mask=torch.ones_like(given), max_new_tokens=40, do_sample=False)[0, len(ids) :]
    found = text(PROMPT, strategy="greedy", max_tokens=40)
    assert found.text == text.rt.text().model.tokenizer.decode(out.tolist())
    assert (found.usage.prompt, found.usage.written) == (len(ids), len(out))
    assert text(PROMPT, temperature=0, max_tokens=40).text == found.text


def test_a_seed_writes_the_same_text_alone_and_in_company(text: TextGeneration) -> None:
    together = text(PROMPT, n=3, **SHORT)
    alone = text(PROMPT, max_tokens=20, seed=8)
    assert together.texts[1] == alone.text
    assert len(set(together.texts)) == 3
    assert str(together) == "\n---\n".join(together.texts)


def test_without_a_seed_one_is_drawn_and_reported(text: TextGeneration) -> None:
    first, second = text(PROMPT, max_tokens=20), text(PROMPT, max_tokens=20)
    assert first.seed != second.seed
    assert text(PROMPT, max_tokens=20, seed=first.seed).text == first.text


@pytest.mark.parametrize(
    "option",
    [
        {"temperature": 0.2}, {"top_k": 2}, {"top_p": 0.1}, {"min_p": 0.9}, {"typical_p": 0.1}, {"repetition_penalty": 9.0},
        {"presence_penalty": 2.0}, {"frequency_penalty": -2.0}, {"logit_bias": {80: 100.0}}, {"strategy": "greedy"},
        {"strategy": "beam"}, {"strategy": "contrastive"}, {"regex": "a+"},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_is_heard(text: TextGeneration, option: dict[str, Any]) -> None:
    plain = text(PROMPT, n=1, **SHORT, top_p=1.0, temperature=1.0)
    assert text(PROMPT, **SHORT | {"top_p": 1.0, "temperature": 1.0} | option).text != plain.text


def test_events_are_the_text_as_it_comes(text: TextGeneration) -> None:
    events = list(text.stream(PROMPT, n=2, logprobs=1, **SHORT))
    assert [event.kind for event in events[:-1]] == ["text"] * (len(events) - 1)
    completion = events[-1].value
    assert isinstance(completion, Completion) and events[-1].kind == "completion"
    deltas: list[Delta] = [event.value for event in events[:-1]]
    for index, whole in enumerate(completion.texts):
        assert "".join(delta.text for delta in deltas if delta.index == index) == whole
        tokens = [token for delta in deltas if delta.index == index for token in delta.tokens]
        assert completion.logprobs is not None and tokens == completion.logprobs[index]
        assert all(token.logprob <= token.top[0].logprob <= 0 for token in tokens)
    assert {"load", "first", "write", "total"} <= set(completion.timings)
    json.dumps(completion.to_dict())


def test_stop_strings_are_not_in_the_text(text: TextGeneration) -> None:
    whole = text(PROMPT, strategy="greedy", max_tokens=60, regex="[a-z ]{60}").text
    stop = whole[10:12]
    found = text(PROMPT, strategy="greedy", max_tokens=60, regex="[a-z ]{60}", stop=["nowhere there", stop])
    assert found.text == whole[: whole.index(stop)]
    assert found.finish_reasons == ["stop"]
    assert text(PROMPT, strategy="greedy", max_tokens=60, regex="[a-z ]{60}", stop=stop).text == found.text


def test_a_text_matches_its_expression(text: TextGeneration) -> None:
    found = text(PROMPT, regex=r"(yes|no), [0-9]{2}\.", n=4, **SHORT)
    assert all(re.fullmatch(r"(yes|no), [0-9]{2}\.", one) for one in found.texts)
    assert found.finish_reasons == ["stop"] * 4


def test_a_text_follows_its_schema(text: TextGeneration, tmp_path: Path) -> None:
    number = {"type": "integer", "minimum": 1, "maximum": 99}
    schema = {
        "type": "object",
        "properties": {"n": number, "ok": {"type": "boolean"}},
        "required": ["n", "ok"],
        "additionalProperties": False,
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    for given in (schema, json.dumps(schema), str(tmp_path / "schema.json")):
        value = json.loads(text(PROMPT, json_schema=given, max_tokens=60).text)
        assert 1 <= value["n"] <= 99 and value["ok"] in (True, False)


def test_guesses_do_not_change_a_text(text: TextGeneration, writer: Runtime, tiny_draft: Path) -> None:
    plain = text(PROMPT, strategy="greedy", max_tokens=60)
    looked_up = text(PROMPT, strategy="greedy", max_tokens=60, lookup=True)
    drafted = TextGeneration(writer, draft=str(tiny_draft))(PROMPT, strategy="greedy", max_tokens=60)
    assert plain.text == looked_up.text == drafted.text
    assert plain.usage.guessed == 0 < drafted.usage.guessed


def test_rules_of_generation_config_are_kept_by_our_own_layers(
    text: TextGeneration, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, guessed ahead and searched: as the library's generate does under the same rules."""
    from transformers import LlamaForCausalLM

    client = text.rt.text()
    ids = client.model.encode(PROMPT)
    first, *_ = client.model.tokenizer.encode(text(PROMPT, strategy="greedy", max_tokens=4).text).ids
    rules = {"no_repeat_ngram_size": 2, "suppress_tokens": [first], "min_new_tokens": 20}
    monkeypatch.setattr(client.model, "rules", rules)
    theirs, given = LlamaForCausalLM.from_pretrained(tiny_llama).eval(), torch.tensor([ids])
    for beams, options in ((1, {"strategy": "greedy"}), (1, {"strategy": "greedy", "lookup": True}), (3, {"strategy": "beam"})):
        out = theirs.generate(
            given, attention_mask=torch.ones_like(given), max_new_tokens=20, do_sample=False, num_beams=beams, **rules
        )
        expected = client.model.tokenizer.decode(out[0, len(ids) :].tolist())
        assert text(PROMPT, max_tokens=20, beams=beams, **options).text == expected


def test_a_prompt_that_came_before_is_known(text: TextGeneration) -> None:
    prompt = "all that is said here was said before, word for word"
    text(prompt, max_tokens=1)
    assert text(prompt + ", but for this", max_tokens=1).usage.cached >= 32


def test_cancelling_ends_it(text: TextGeneration) -> None:
    request = Request.new()
    events = text.stream(PROMPT, max_tokens=400, temperature=2.0, logit_bias={1: -100}, request=request)
    next(events)
    request.cancel()
    with pytest.raises(Cancelled):
        list(events)


async def test_from_asyncio(text: TextGeneration) -> None:
    one, other = await asyncio.gather(text.acall(PROMPT, **SHORT), text.acall(PROMPT, **SHORT))
    assert one.text == other.text
    events = [event async for event in text.astream(PROMPT, **SHORT)]
    assert events[-1].value.text == one.text


def test_it_is_described_for_every_door(writer: Runtime) -> None:
    described = signature.read("text", TextGeneration)
    assert all(parameter.help for parameter in described.parameters)
    assert described.parameters[0].name == "prompt" and described.parameters[0].required
    assert isinstance(pipeline("text", runtime=writer)(PROMPT, max_tokens=2), Completion)


@pytest.mark.parametrize(
    ("option", "kind", "told"),
    [
        ({"prompt": ""}, BadRequest, "the prompt is empty"),
        ({"prompt": "x" * 600}, TooLong, "the prompt is 600 tokens, the model reads 512; shorten it"),
        ({"max_tokens": 0}, BadRequest, "max_tokens is 0; it can be 1 or more"),
        (
            {"max_tokens": 10**8},
            TooLong,
            "11 tokens of prompt and max_tokens 100000000 are 100000011, the model holds 512; ask ",
        ),
        ({"temperature": -1}, BadRequest, "temperature is -1; it can be 0"),
        ({"temperature": math.nan}, BadRequest, "temperature is nan; it can be 0"),
        ({"temperature": "hot"}, BadRequest, "temperature is 'hot'"),
        ({"stop": 7}, BadRequest, "stop is 7; it can be a text that is not empty, or several"),
        ({"stop": ["a", None]}, BadRequest, "stop is ['a', None]; it can be"),
        ({"stop": ""}, BadRequest, "stop is ''; it can be"),
        ({"seed": -2}, BadRequest, "seed is -2; it can be 0 to 9223372036854775807, or -1 for a random one"),
        ({"n": 65}, BadRequest, "n is 65; it can be 1 to 64"),
        ({"n": 5, "strategy": "beam"}, BadRequest, "n is 5; beam search over 4 texts gives 4 at most"),
        ({"strategy": "wild"}, BadRequest, "strategy is 'wild'; it can be sample, greedy, beam, contrastive"),
        ({"logit_bias": {264: 1.0}}, BadRequest, "logit_bias names token 264; "),
        ({"logit_bias": {"a": 1.0}}, BadRequest, "logit_bias names token 'a'; "),
        ({"regex": "["}, BadRequest, "regex '[' cannot be used: unclosed character class"),
        ({"json_schema": "{"}, BadRequest, "JSON schema '{' is no JSON"),
        ({"json_schema": "no/such.json"}, UnreadableFile, "JSON schema no/such.json cannot be read"),
        ({"regex": "a", "json_schema": "{}"}, BadRequest, "regex and json_schema are both given"),
        ({"regex": "a", "logit_bias": {5: 101.0}}, BadRequest, "the logit bias of token 5 is 101.0; it can be -100 to 100"),
    ],
    ids=str,
)
def test_bad_input_is_one_line(text: TextGeneration, option: dict[str, Any], kind: type[MmgenError], told: str) -> None:
    with pytest.raises(kind) as caught:
        text(**{"prompt": PROMPT} | option)
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_an_encoder_writes_nothing(tmp_path: Path) -> None:
    import checkpoints
    from tiny_llama import byte_tokenizer

    checkpoints.saved(checkpoints.FAMILIES["bert"], tmp_path)
    byte_tokenizer().save(str(tmp_path / "tokenizer.json"))
    with (
        Runtime(RuntimeConfig(device="cpu", text=str(tmp_path))) as rt,
        pytest.raises(BadRequest, match="is an encoder, which"),
    ):
        TextGeneration(rt)(PROMPT)


@pytest.fixture(scope="module")
def lora(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny llama that changes what it writes."""
    from mmgen.models.lm import language_model, lora_files
    from mmgen.models.lm.lora import Adapters

    folder, lm = tmp_path_factory.mktemp("lora"), language_model.load(tiny_llama)
    adapters = Adapters(lm, lora_files.names_of(tiny_llama, lm))
    adapters.add("a", targets=["q_proj", "v_proj", "up_proj"])
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapters.parameters("a"):
            parameter.normal_(std=0.3)
    lora_files.save(adapters, "a", folder)
    return folder


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft calls what transformers deprecates
def test_an_adapter_writes_beside_the_model_itself(text: TextGeneration, tiny_llama: Path, lora: Path, call: Any) -> None:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    options: dict[str, Any] = {"strategy": "greedy", "max_tokens": 20}
    plain = text(PROMPT, **options).text
    adapted = TextGeneration(text.rt, adapter=str(lora))
    found = adapted(PROMPT, **options).text
    assert found != plain == text(PROMPT, **options).text
    theirs = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(tiny_llama), lora).eval()
    given = torch.tensor([text.rt.text().model.encode(PROMPT)])
    out = theirs.generate(input_ids=given, attention_mask=torch.ones_like(given), max_new_tokens=20, do_sample=False)
    assert found == text.rt.text().model.tokenizer.decode(out[0, given.shape[1] :].tolist())
    done = call("text", PROMPT, "--model", tiny_llama, "--adapter", lora, "--strategy", "greedy", "--max-tokens", 20)
    assert (done.code, done.out) == (0, found + "\n")


def test_an_adapter_outlives_its_model_leaving_memory(tiny_llama: Path, lora: Path) -> None:
    options: dict[str, Any] = {"strategy": "greedy", "max_tokens": 12}
    with Runtime(RuntimeConfig(device="cpu", text=str(tiny_llama))) as rt:
        plain, adapted = TextGeneration(rt), TextGeneration(rt, adapter=str(lora))
        before = adapted(PROMPT, **options).text, plain(PROMPT, **options).text
        rt.sleep(str(tiny_llama), drop=True)
        assert (adapted(PROMPT, **options).text, plain(PROMPT, **options).text) == before
    assert before[0] != before[1]


def test_an_adapter_that_is_not_there(text: TextGeneration, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"is no adapter; give a folder that holds adapter_config\.json, or a repo id$"):
        TextGeneration(text.rt, adapter=str(tmp_path))(PROMPT)


def test_an_adapter_by_its_repository(text: TextGeneration, lora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmgen import hub

    options: dict[str, Any] = {"strategy": "greedy", "max_tokens": 12}
    expected = TextGeneration(text.rt, adapter=str(lora))(PROMPT, **options).text
    monkeypatch.setattr(hub, "resolve", {"someone/an-adapter": lora}.__getitem__)
    assert TextGeneration(text.rt, adapter="someone/an-adapter")(PROMPT, **options).text == expected


def test_the_attention_behind_a_prefix_is_not_drawn(text: TextGeneration, tmp_path: Path) -> None:
    from mmgen.models.lm.adapters import prefix_tuning

    client = text.rt.text()
    prefix_tuning.save(prefix_tuning.Prefix(client.model.lm.config, 3), tmp_path)
    name = client.adapt(str(tmp_path))
    with pytest.raises(BadRequest, match=r"attention of texts behind .* is not drawn; leave the adapter out"):
        client.attention([1, 2, 3], name)


def test_the_embedded_model_writes() -> None:
    with Runtime() as rt:
        found = TextGeneration(rt)("Once upon a time", max_tokens=24, seed=1)
        assert (
            len(set(found.text.split())) > 8
            and found.text == TextGeneration(rt)("Once upon a time", max_tokens=24, seed=1).text
        )


def test_the_command(call: Any, tiny_llama: Path, text: TextGeneration) -> None:
    done = call("text", PROMPT, "--model", tiny_llama, "--max-tokens", 20, "--seed", 7, "--stop", "qqq")
    assert (done.code, done.out) == (0, text(PROMPT, **SHORT).text + "\n")
    told = json.loads(call("text", PROMPT, "--model", tiny_llama, "--max-tokens", 3, "--strategy", "greedy", "--json").out)
    assert told["finish_reasons"] == ["length"] and told["usage"]["written"] == 3
    failed = call("text", PROMPT, "--model", tiny_llama, "--temperature", "nan")
    assert (failed.code, failed.err) == (
        2,
        "error: temperature is nan; it can be 0 (always the likeliest token) to 100, usually 1\n",
    )
