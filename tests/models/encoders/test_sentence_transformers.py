"""What is not a BERT goes through the package, which says in one line what it cannot read."""

from pathlib import Path

import numpy as np
import pytest
import tiny_sentences as tiny
import torch

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.encoders.sentence_transformers import SentenceTransformerEncoder, load


def mpnet() -> torch.nn.Module:
    from transformers import MPNetConfig, MPNetModel

    return MPNetModel(MPNetConfig(vocab_size=9, pad_token_id=0, max_position_embeddings=40, **tiny.SHAPE))


def distilbert() -> torch.nn.Module:
    from transformers import DistilBertConfig, DistilBertModel

    shape = {"dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    return DistilBertModel(DistilBertConfig(vocab_size=9, max_position_embeddings=40, **shape))


@pytest.mark.parametrize("model", [mpnet, distilbert])
def test_another_architecture(tmp_path: Path, model: type) -> None:
    whole = tiny.save(tmp_path, model())
    ours = load(tmp_path / "whole", name="local")
    rows = ours.tokenize(tiny.TEXTS)
    assert (ours.name, ours.dimension, ours.max_tokens) == ("local", 16, 12)
    assert [len(row) for row in rows] == [4, 3, 7, 12]
    vectors = ours.embed_rows(rows)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, whole.encode(tiny.TEXTS, normalize_embeddings=True), atol=1e-6)
    np.testing.assert_allclose(vectors, np.concatenate([ours.embed_rows([row]) for row in rows]), atol=1e-6)
    alike = ours.tokenize(["red lamp", "lamp red", "red red", "lamp lamp"])
    assert np.array_equal(ours.embed_rows(alike), np.concatenate([ours.embed_rows([row]) for row in alike])), "to the bit"
    assert ours.token_spans("red lamp") == [(0, 3), (4, 8)]
    assert ours.tokenize([]) == []


def test_fp16_checkpoints_give_float32(tmp_path: Path) -> None:
    tiny.save(tmp_path, distilbert().half())
    ours = load(tmp_path / "whole")
    assert ours.embed_rows(ours.tokenize(["red"])).dtype == np.float32


def test_through_the_runtime(tmp_path: Path) -> None:
    """The reference of a local folder: the runtime finds out who reads it."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    whole = tiny.save(tmp_path, mpnet())
    with Runtime(RuntimeConfig(device="cpu")) as rt:
        encoder = rt.encoder(str(tmp_path / "whole"))
        assert isinstance(encoder.model, SentenceTransformerEncoder)
        vectors = encoder.embed_text(tiny.TEXTS)
        assert np.array_equal(vectors, np.concatenate([encoder.embed_text([text]) for text in tiny.TEXTS])), "to the bit"
    np.testing.assert_allclose(vectors, whole.encode(tiny.TEXTS, normalize_embeddings=True), atol=1e-6)


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    tiny.save(tmp_path, distilbert())
    weights = tmp_path / "whole" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BadWeights, match="is no sentence-transformers model") as error:
        load(tmp_path / "whole")
    assert "\n" not in str(error.value)
    with pytest.raises(BadRequest, match="int8"):
        load(tmp_path / "whole", precision="int8")


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny.save(tmp_path, mpnet())
    file = tmp_path / "whole" / "model.safetensors"
    tensors = load_file(file)
    left = {name: tensor for name, tensor in tensors.items() if "layer.1.attention" not in name and "pooler" not in name}
    save_file(left, file, metadata={"format": "pt"})
    with pytest.raises(BadWeights, match=r"lacks encoder\.layer\.1\.attention\..* and \d+ more; fetch the model again"):
        load(tmp_path / "whole")


def test_static_embeddings(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = tiny.tokenizer().backend_tokenizer
    whole = SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=8)], device="cpu")
    whole.save(str(tmp_path / "static"))
    ours = load(tmp_path / "static")
    vectors = ours.embed_rows(ours.tokenize(tiny.TEXTS))
    np.testing.assert_allclose(vectors, whole.encode(tiny.TEXTS, normalize_embeddings=True), atol=1e-6)
    assert ours.dimension == 8 and ours.token_spans("red lamp") == [(0, 3), (4, 8)]
