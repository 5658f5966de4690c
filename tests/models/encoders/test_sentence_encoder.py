"""Our transformer against the upstream ones on the real weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.convert import drawn
from mmgen.models.checkpoints.tensor_names import bert_encoder
from mmgen.models.encoders.sentence_encoder import SentenceEncoder, load
from mmgen.models.quantization import int8

TEXTS = [
    "a",
    "The lens was lit at Cordouan in 1823.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. 你好 🙂",
    " ".join(f"word{i} runs" for i in range(300)),  # longer than the encoder reads
    "",
]


@pytest.fixture(scope="module")
def minilm() -> Path:
    return hub.resolve("embedded:minilm")


@pytest.fixture(scope="module")
def encoder(minilm: Path) -> SentenceEncoder:
    return SentenceEncoder.load(minilm)


def test_hidden_states_equal_transformers(minilm: Path, encoder: SentenceEncoder) -> None:
    from transformers import BertModel

    theirs = BertModel.from_pretrained(minilm, add_pooling_layer=False).eval()
    rows = encoder.tokenize(TEXTS)
    ours, lengths = encoder.states(rows)
    mask = torch.arange(ours.shape[1]) < lengths[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    ids[mask] = torch.tensor([number for row in rows for number in row])
    with torch.inference_mode():
        expected = theirs(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert lengths.tolist()[3:] == [256, 2]
    assert (ours - expected)[mask].abs().max() < 1e-5


def test_embeddings_equal_sentence_transformers(minilm: Path, encoder: SentenceEncoder) -> None:
    from sentence_transformers import SentenceTransformer

    expected = SentenceTransformer(str(minilm), device="cpu").encode(TEXTS, normalize_embeddings=True)
    ours = encoder.embed_text(TEXTS)
    assert ours.dtype == np.float32
    assert (ours * expected).sum(1).min() >= 0.99999


def test_batch_equals_alone(encoder: SentenceEncoder) -> None:
    together = encoder.embed_text(TEXTS, budget=600)
    assert np.array_equal(together, np.concatenate([encoder.embed_text([text]) for text in TEXTS]))


def test_token_spans_are_the_texts_own(encoder: SentenceEncoder) -> None:
    text = "Its lens, 1823."
    assert [text[a:b] for a, b in encoder.token_spans(text)] == ["Its", "lens", ",", "1823", "."]


def test_int8_stays_close_and_does_not_depend_on_the_batch(minilm: Path, encoder: SentenceEncoder) -> None:
    rounded = load(minilm, precision="int8")
    together = rounded.embed_text(TEXTS, budget=600)
    assert (together * encoder.embed_text(TEXTS)).sum(1)[:4].min() > (0.99 if int8.MOST == 127 else 0.98)
    assert np.array_equal(together, np.concatenate([rounded.embed_text([text]) for text in TEXTS]))


def test_no_texts(encoder: SentenceEncoder) -> None:
    assert encoder.embed_text([]).shape == (0, 384)


def test_unknown_precision(minilm: Path) -> None:
    with pytest.raises(BadRequest, match=r"int3.*fp32, bf16 or int8"):
        load(minilm, precision="int3")


def test_export_is_the_inverse_of_import(minilm: Path, encoder: SentenceEncoder) -> None:
    tensors = safetensors_io.read(minilm / "model.safetensors")
    back = drawn(encoder.transformer, bert_encoder(encoder.config, theirs=""))
    for name, tensor in back.items():
        assert torch.equal(tensor, tensors[name]), name
    assert set(tensors) - set(back) <= {"embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"}


@pytest.fixture
def broken(minilm: Path, tmp_path: Path) -> Path:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_bytes((minilm / name).read_bytes())
    return tmp_path


def test_truncated_weights(broken: Path) -> None:
    path = broken / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(BadWeights, match=r"model\.safetensors is damaged"):
        SentenceEncoder.load(broken)


def test_missing_tensor_is_named(broken: Path) -> None:
    from safetensors.torch import save_file

    tensors = safetensors_io.read(broken / "model.safetensors")
    del tensors["encoder.layer.3.output.dense.bias"]
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(BadWeights, match=r"lacks encoder\.layer\.3\.output\.dense\.bias"):
        SentenceEncoder.load(broken)


def test_a_bert_with_a_head(minilm: Path, encoder: SentenceEncoder, broken: Path) -> None:
    """Its encoder's names begin with `bert.`; the rest is left out, but no tensor that the encoder's would be."""
    from safetensors.torch import save_file

    tensors = {f"bert.{name}": tensor for name, tensor in safetensors_io.read(minilm / "model.safetensors").items()}
    save_file(tensors | {"cls.predictions.bias": torch.zeros(3)}, broken / "model.safetensors")
    loaded = SentenceEncoder.load(broken)
    assert all(torch.equal(loaded.transformer.state_dict()[k], v) for k, v in encoder.transformer.state_dict().items())
    save_file(tensors | {"bert.encoder.layer.0.gate": torch.zeros(3)}, broken / "model.safetensors")
    with pytest.raises(BadWeights, match=r"holds bert\.encoder\.layer\.0\.gate"):
        SentenceEncoder.load(broken)


def test_wrong_shape_is_named(broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps(config | {"intermediate_size": 1024}))
    with pytest.raises(BadWeights, match=r"layer\.0\.intermediate\.dense\.weight \(1536, 384\) instead of \(1024, 384\)"):
        SentenceEncoder.load(broken)


def test_no_bert_configuration(broken: Path) -> None:
    (broken / "config.json").write_text("{}")
    with pytest.raises(BadWeights, match="vocab_size"):
        SentenceEncoder.load(broken)


def test_damaged_tokenizer(broken: Path) -> None:
    (broken / "tokenizer.json").write_text("{")
    with pytest.raises(BadWeights, match=r"no tokenizer\.json"):
        SentenceEncoder.load(broken)
