"""/v1/models, and which names a client may give."""

from pathlib import Path

import openai as sdk
import pytest
from openai import OpenAI

from mmgen.errors import BadRequest, NotFound
from mmgen.runtime import Runtime
from mmgen.serve.errors import UnknownModel
from mmgen.serve.model_catalog import ModelCatalog


def test_what_is_served(openai: OpenAI, tiny_llama: Path) -> None:
    models = {one.id: one for one in openai.models.list()}
    assert {"tiny", "embedded:books", "embedded:minilm", "embedded:emoji", "embedded:reader"} <= set(models)
    assert str(tiny_llama) not in str(models.values())
    assert openai.models.retrieve("embedded:minilm").owned_by == "mmgen"
    assert openai.models.retrieve("tiny").model_extra == {"kind": "text", "default": True}


def test_a_model_that_is_not_served(openai: OpenAI, tiny_llama: Path) -> None:
    """Paths above all: a client does not reach into the disk, nor makes the server download."""
    for name in ("gpt-4o", str(tiny_llama), "../tiny", "org/name", "tiny#int9", "embedded:minilm#../x", "", "\0"):
        with pytest.raises(sdk.NotFoundError) as caught:
            openai.embeddings.create(model=name, input="a")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(sdk.NotFoundError, match='did you mean "embedded:minilm"'):
        openai.models.retrieve("embedded:minilmm")


def test_what_the_operator_gives(served: Runtime, tiny_llama: Path, tiny_draft: Path) -> None:
    catalog = ModelCatalog(served, [f"mine={tiny_draft}", str(tiny_draft), f"small={tiny_draft}#int8"])
    assert catalog.find("mine", "text") == catalog.find("draft", "text") == str(tiny_draft)
    assert catalog.find("small", "text") == catalog.find("mine#int8", "text") == f"{tiny_draft}#int8"
    assert catalog.find("embedded:minilm#int8", "encoder") == "embedded:minilm#int8"
    assert catalog.find(None, "text") == str(tiny_llama)
    with pytest.raises(BadRequest, match="mine is of kind text, not denoiser; take embedded:emoji"):
        catalog.find("mine", "denoiser")
    with pytest.raises(UnknownModel):
        catalog.find(str(tiny_draft), "text")
    with pytest.raises(NotFound, match="nowhere"):
        ModelCatalog(served, ["nowhere"])
