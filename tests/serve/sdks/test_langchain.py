"""langchain-openai, unmodified: messages, streams, tools, structured output, vectors."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel

from mmgen.runtime import Runtime


@pytest.fixture(scope="module")
def chat(server: str) -> Any:
    openai = pytest.importorskip("langchain_openai")
    return openai.ChatOpenAI(base_url=f"{server}/v1", api_key="none", model="tiny", temperature=0, max_retries=0, max_tokens=24)


def test_a_message_and_its_stream(chat: Any) -> None:
    whole = chat.invoke([("system", "be kind"), ("human", "the cat")], seed=3)
    pieces = list(chat.stream([("system", "be kind"), ("human", "the cat")], seed=3))
    assert whole.content and "".join(piece.content for piece in pieces) == whole.content and len(pieces) > 3
    assert whole.usage_metadata["output_tokens"] == 24 and whole.response_metadata["finish_reason"] == "length"


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: Any, method: str) -> None:
    class Cat(BaseModel):
        colour: Literal["red", "black"]
        old: bool

    asked = chat.model_copy(update={"max_tokens": 64}).with_structured_output(Cat, method=method, strict=True)
    assert isinstance(asked.invoke("a cat", seed=1), Cat)


def test_tools(chat: Any) -> None:
    def wash(colour: Literal["red", "black"]) -> str:
        """Washes the cat."""
        return colour

    told = (
        chat.model_copy(update={"max_tokens": 64}).bind_tools([wash], tool_choice="wash", strict=True).invoke("a cat", seed=1)
    )
    (call,) = told.tool_calls
    assert call["name"] == "wash" and call["args"]["colour"] in ("red", "black")
    answered = chat.invoke([("human", "a cat"), told, {"role": "tool", "tool_call_id": call["id"], "content": "done"}])
    assert answered.content


def test_vectors(server: str, served: Runtime) -> None:
    openai = pytest.importorskip("langchain_openai")
    embeddings = openai.OpenAIEmbeddings(
        base_url=f"{server}/v1", api_key="none", model="embedded:minilm", check_embedding_ctx_length=False
    )
    (vector,) = embeddings.embed_documents(["a red apple"])
    assert vector == pytest.approx(served.encoder("embedded:minilm").embed_text(["a red apple"])[0].tolist(), abs=1e-6)
