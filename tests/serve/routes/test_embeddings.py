"""/v1/embeddings through the official client."""

import base64
from typing import Any

import numpy as np
import openai as sdk
import pytest
from openai import AsyncOpenAI, OpenAI

from mmgen.runtime import Runtime

MODEL = "embedded:minilm"
TEXTS = ["a red lamp", "the sea at night, under stars", "x"]


def test_floats_and_base64_say_the_same(openai: OpenAI, served: Runtime) -> None:
    expected = served.encoder(MODEL).embed_text(TEXTS)
    plain = openai.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    assert [one.index for one in plain.data] == [0, 1, 2] and plain.object == "list"
    assert np.allclose([one.embedding for one in plain.data], expected, atol=1e-5)
    packed = openai.embeddings.create(model=MODEL, input=TEXTS, encoding_format="base64")
    raw: Any = packed.data[1].embedding
    assert np.allclose(np.frombuffer(base64.b64decode(raw), dtype="<f4"), expected[1], atol=1e-5)
    usual = openai.embeddings.create(model=MODEL, input=TEXTS[0])  # the client asks for base64 and unpacks it
    assert np.allclose(usual.data[0].embedding, expected[0], atol=1e-5)
    assert usual.usage.prompt_tokens == usual.usage.total_tokens == 5


async def test_async(server: str) -> None:
    async with AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        reply = await client.embeddings.create(model=MODEL, input=TEXTS)
    assert len(reply.data) == 3 and len(reply.data[0].embedding) == 384


def test_tokens(openai: OpenAI, served: Runtime) -> None:
    ids = served.encoder(MODEL).model.tokenizer.encode("a red lamp").ids
    one = openai.embeddings.create(model=MODEL, input=ids).data[0].embedding
    several = openai.embeddings.create(model=MODEL, input=[ids, ids]).data
    expected = served.encoder(MODEL).embed_text(["a red lamp"])[0]
    assert np.allclose(one, expected, atol=1e-5) and np.allclose(several[1].embedding, expected, atol=1e-5)


def test_fewer_dimensions(openai: OpenAI, served: Runtime) -> None:
    short = np.array(openai.embeddings.create(model=MODEL, input=TEXTS[0], dimensions=64).data[0].embedding)
    whole = served.encoder(MODEL).embed_text(TEXTS[:1])[0][:64]
    assert short.shape == (64,) and np.allclose(short, whole / np.linalg.norm(whole), atol=1e-5)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"input": []}, "input"),
        ({"input": ""}, "a text is empty"),
        ({"input": ["a", ""]}, "a text is empty"),
        ({"input": 7}, "input"),
        ({"input": "a", "dimensions": 385}, "vectors of embedded:minilm have 384"),
        ({"input": "lamp " * 300}, "a text is 302 tokens, embedded:minilm reads 256"),
        ({"input": "a", "model": "embedded:books"}, "is of kind text, not encoder; take embedded:minilm"),
    ],
)
def test_what_is_refused(openai: OpenAI, given: dict[str, Any], told: str) -> None:
    with pytest.raises(sdk.BadRequestError) as caught:
        openai.embeddings.create(**{"model": MODEL, **given})
    assert told in caught.value.message
