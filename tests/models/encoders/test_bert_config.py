"""Folders saved by today's sentence-transformers, and by those of the past: read alike, or left to the package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_sentences as tiny

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.encoders.bert_config import settings
from mmgen.models.encoders.sentence_encoder import SentenceEncoder, load
from mmgen.models.encoders.sentence_transformers import SentenceTransformerEncoder


def rewrite(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps((json.loads(path.read_text()) if path.is_file() else {}) | values))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_what_the_package_saves_today(tmp_path: Path, pooling: str) -> None:
    whole = tiny.save(tmp_path, pooling=pooling)
    ours = load(tmp_path / "whole")
    assert isinstance(ours, SentenceEncoder) and (ours.pooling, ours.max_tokens) == (pooling, 12)
    expected = whole.encode(tiny.TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(ours.embed_text(tiny.TEXTS), expected, atol=1e-6)


def test_what_the_package_saved_in_the_past(tmp_path: Path) -> None:
    tiny.save(tmp_path)
    rewrite(tmp_path / "whole" / "sentence_bert_config.json", {"max_seq_length": 7})
    (tmp_path / "whole" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    read = settings(tmp_path / "whole")
    assert (read.max_tokens, read.pooling, read.beyond) == (7, "cls", "")


def test_a_plain_transformers_folder_is_pooled_by_mean(tmp_path: Path) -> None:
    tiny.save(tmp_path)
    read = settings(tmp_path / "raw")
    assert (read.max_tokens, read.pooling, read.beyond) == (40, "mean", "")


def test_other_special_tokens(tmp_path: Path) -> None:
    """A multilingual MiniLM is a BERT with XLM-R's tokenizer."""
    whole = tiny.save(tmp_path, words=tiny.tokenizer("<s>", "</s>", "<pad>"))
    ours = load(tmp_path / "whole")
    assert isinstance(ours, SentenceEncoder)
    np.testing.assert_allclose(ours.embed_text(tiny.TEXTS), whole.encode(tiny.TEXTS, normalize_embeddings=True), atol=1e-6)


@pytest.mark.parametrize("saved", [{"pooling": "max"}, {"pooling": "weightedmean"}, {"hidden_act": "silu"}, {"more": "dense"}])
def test_what_is_beyond_ours_goes_through_the_package(tmp_path: Path, saved: dict[str, Any]) -> None:
    if saved.get("more"):
        saved = {"more": [tiny.parts.Dense(16, 5)]}
    whole = tiny.save(tmp_path, **saved)
    model = load(tmp_path / "whole")
    assert isinstance(model, SentenceTransformerEncoder)
    expected = whole.encode(tiny.TEXTS, normalize_embeddings=True)
    np.testing.assert_allclose(model.embed_rows(model.tokenize(tiny.TEXTS)), expected, atol=1e-6)
    with pytest.raises(BadWeights, match="load it through the sentence-transformers package"):
        SentenceEncoder.load(tmp_path / "whole")
    with pytest.raises(BadRequest, match="int8"):
        load(tmp_path / "whole", precision="int8")


@pytest.mark.parametrize(
    ("name", "values", "beyond"),
    [
        ("config.json", {"position_embedding_type": "relative_key"}, "relative_key positions"),
        ("config.json", {"is_decoder": True}, "a decoder"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "lower-casing before the tokenizer"),
        ("1_Pooling/config.json", {"include_prompt": False}, "pooling without the prompt"),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "max"]}, "mean+max pooling"),
        ("1_Pooling/config.json", {"pooling_mode": None, "pooling_mode_max_tokens": True}, "max pooling"),
    ],
)
def test_what_else_is_beyond_ours(tmp_path: Path, name: str, values: dict[str, Any], beyond: str) -> None:
    tiny.save(tmp_path)
    rewrite(tmp_path / "whole" / name, values)
    assert settings(tmp_path / "whole").beyond == beyond


def test_damaged_modules(tmp_path: Path) -> None:
    tiny.save(tmp_path)
    (tmp_path / "whole" / "modules.json").write_text('{"type": 1}')
    with pytest.raises(BadWeights, match=r"modules\.json cannot be read"):
        settings(tmp_path / "whole")
