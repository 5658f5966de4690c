"""/v1/completions through the official client."""

from typing import Any

import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI

from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime


def go_on(client: OpenAI, prompt: Any = "the sea", **more: Any) -> Any:
    return client.completions.create(**{"model": "tiny", "prompt": prompt, "max_tokens": 10, "seed": 5, **more})


def test_a_text(openai: OpenAI, served: Runtime) -> None:
    reply = go_on(openai)
    alone = TextGeneration(served)("the sea", max_tokens=10, seed=5, temperature=1.0, top_p=1.0)
    assert (reply.choices[0].text, reply.choices[0].finish_reason) == (alone.text, alone.finish_reasons[0])
    assert reply.object == "text_completion" and reply.usage.prompt_tokens == alone.usage.prompt
    assert go_on(openai, echo=True).choices[0].text == "the sea" + alone.text
    assert go_on(openai, max_tokens=None).usage.completion_tokens <= 16


def test_several_prompts_and_texts(openai: OpenAI) -> None:
    prompts = ["the sea", "a hen", "the"]
    reply = go_on(openai, prompts, n=2)
    assert [choice.index for choice in reply.choices] == list(range(6))
    assert [choice.text for choice in reply.choices] == [
        choice.text for prompt in prompts for choice in go_on(openai, prompt, n=2).choices
    ]
    texts = [""] * 6
    for chunk in go_on(openai, prompts, n=2, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == [choice.text for choice in reply.choices]


def test_tokens_as_a_prompt(openai: OpenAI, served: Runtime) -> None:
    ids = served.text().model.encode("the sea")
    assert go_on(openai, ids).choices[0].text == go_on(openai).choices[0].text
    assert [c.text for c in go_on(openai, [ids, ids], echo=True).choices] == [go_on(openai, echo=True).choices[0].text] * 2


def test_the_stream(openai: OpenAI) -> None:
    whole = go_on(openai, echo=True).choices[0].text
    chunks = list(go_on(openai, echo=True, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole
    assert chunks[-2].choices[0].finish_reason and chunks[-1].usage.total_tokens


async def test_async(server: str) -> None:
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        reply: Any = await client.completions.create(model="tiny", prompt="the sea", max_tokens=8, seed=1)
        stream: Any = await client.completions.create(model="tiny", prompt="the sea", max_tokens=8, seed=1, stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == reply.choices[0].text


def test_logprobs(openai: OpenAI) -> None:
    choice = go_on(openai, logprobs=2, temperature=0).choices[0]
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == 10
    likeliest = [max(top.values()) for top in told.top_logprobs]
    assert told.token_logprobs == pytest.approx(likeliest)
    assert any(token.startswith("bytes:\\x") for token in told.tokens), "the tiny model writes parts of characters"
    for token, at in zip(told.tokens, told.text_offset, strict=True):
        assert token.startswith(("bytes:", "<|")) or choice.text[at:].startswith(token)


def test_a_prompt_is_scored(openai: OpenAI, served: Runtime) -> None:
    """As evaluation harnesses ask: echo and logprobs, and nothing written."""
    import torch

    reply = go_on(openai, "the sea", echo=True, logprobs=1, max_tokens=0)
    told, model = reply.choices[0].logprobs, served.text().model
    ids = model.encode("the sea")
    with torch.inference_mode():
        expected = model.lm(torch.tensor([ids])).log_softmax(-1)[0, :-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
    assert reply.choices[0].text == "the sea" and reply.usage.completion_tokens == 0
    assert told.token_logprobs[0] is None and told.top_logprobs[0] is None
    assert told.token_logprobs[1:] == pytest.approx(expected.tolist(), abs=1e-4)
    assert all(max(top.values()) >= one for top, one in zip(told.top_logprobs[1:], told.token_logprobs[1:], strict=True))
    longer = go_on(openai, "the sea", echo=True, logprobs=1, max_tokens=3).choices[0].logprobs
    assert longer.token_logprobs[: len(ids)] == told.token_logprobs and len(longer.tokens) == len(ids) + 3
    assert longer.text_offset[: len(ids)] == told.text_offset
    chunks = list(go_on(openai, "the sea", echo=True, logprobs=1, max_tokens=3, stream=True))
    streamed = [one for chunk in chunks if chunk.choices and (part := chunk.choices[0].logprobs) for one in part.token_logprobs]
    assert streamed == longer.token_logprobs
    assert (
        "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
        == go_on(openai, "the sea", echo=True, max_tokens=3).choices[0].text
    )


def test_a_random_seed(openai: OpenAI) -> None:
    assert len({go_on(openai, seed=-1, temperature=2.0).choices[0].text for _ in range(4)}) > 1


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"prompt": ""}, "a prompt is empty"),
        ({"prompt": [[999]]}, "names token 999"),
        ({"suffix": "end"}, "suffix is given"),
        ({"prompt": ["the", "x" * 600]}, "the model reads 512"),
        ({"max_tokens": 0}, "max_tokens is 0 and echo is not set"),
        ({"seed": -2}, "seed: Input should be greater than or equal to -1"),
    ],
)
def test_what_is_refused(openai: OpenAI, more: dict[str, Any], told: str) -> None:
    with pytest.raises(sdk.BadRequestError, match=told):
        go_on(openai, **more)
