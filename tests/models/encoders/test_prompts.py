"""What a checkpoint writes before questions and documents: the vectors are the package's own, whoever runs the model."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_sentences as tiny
from transformers import MPNetConfig, MPNetModel

from mmgen.errors import BadWeights
from mmgen.models.encoders import sentence_encoder, sentence_transformers
from mmgen.models.encoders.prompts import FILE, Prompts, from_store, read
from mmgen.models.encoders.sentence_encoder import SentenceEncoder

PROMPTS = {"query": "green sea ", "passage": "red "}


def mpnet() -> MPNetModel:
    return MPNetModel(MPNetConfig(vocab_size=9, pad_token_id=0, max_position_embeddings=40, **tiny.SHAPE))


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("include_prompt", [True, False])
def test_both_sides_as_the_package_has_them(tmp_path: Path, native: bool, include_prompt: bool) -> None:
    whole = tiny.save(tmp_path, None if native else mpnet())
    whole.prompts, whole.default_prompt_name, whole.truncate_dim = dict(PROMPTS), "query", 6
    whole.set_pooling_include_prompt(include_prompt)
    whole.save(str(tmp_path / "whole"))
    ours = (sentence_encoder if native else sentence_transformers).load(tmp_path / "whole")
    assert isinstance(ours, SentenceEncoder) == (native and include_prompt)
    assert ours.prompts == Prompts("green sea ", "red ", "green sea ") and ours.dimension == 6
    expected = {
        "query": whole.encode_query(tiny.TEXTS, normalize_embeddings=True),
        "document": whole.encode_document(tiny.TEXTS, normalize_embeddings=True),
        "": whole.encode(tiny.TEXTS, normalize_embeddings=True),
    }
    for side, vectors in expected.items():
        rows = ours.tokenize(tiny.TEXTS, ours.prompts.of(side), side)  # type: ignore[arg-type]
        np.testing.assert_allclose(ours.embed_rows(rows), vectors, atol=1e-6)
    mixed = [*ours.tokenize(["red"], "green sea ", "query"), *ours.tokenize(["red"], "red ", "document")]
    alone = [ours.embed_rows([row])[0] for row in mixed]
    assert np.array_equal(ours.embed_rows(mixed), alone)


def test_read(tmp_path: Path) -> None:
    assert read(tmp_path) == Prompts()
    (tmp_path / FILE).write_text(json.dumps({"prompts": {"query": None, "corpus": "x: "}}))
    assert read(tmp_path) == Prompts("", "x: ")
    (tmp_path / FILE).write_text(json.dumps({"prompts": {}, "default_prompt_name": "s2p"}))
    with pytest.raises(BadWeights, match="has no prompt 's2p'"):
        read(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(BadWeights, match="cannot be read"):
        read(tmp_path)


def test_what_a_store_remembers() -> None:
    assert from_store(Prompts("q: ", "d: ", "x").sides()) == Prompts("q: ", "d: ")
    assert from_store({}) == Prompts()
