from pathlib import Path

import numpy as np
import pytest
import tiny_cross_encoders
from sentence_transformers import CrossEncoder as Package

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.encoders.cross_encoder import CrossEncoder, fitted, load

QUERY, TEXTS = "red lamp", ["sea sea", "green " * 30, "lamp", "red sea lamp green"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cross_encoders.save(tmp_path_factory.mktemp("bert"))


def test_scores_are_the_packages(folder: Path) -> None:
    model = load(folder)
    assert isinstance(model, CrossEncoder)
    pairs = model.pairs(QUERY, TEXTS)
    assert [len(pair) for pair in pairs] == [7, 20, 6, 9], "the second is cut"
    scores = model.score_rows(pairs)
    np.testing.assert_allclose(scores, Package(str(folder)).predict([(QUERY, text) for text in TEXTS]), atol=1e-6)
    assert [float(model.score_rows([pair])[0]) for pair in pairs] == scores.tolist()


def test_what_the_package_saved_with_another_activation(folder: Path, tmp_path: Path) -> None:
    import torch

    package = Package(str(folder), activation_fn=torch.nn.Identity())
    package.save_pretrained(str(tmp_path))
    model = load(tmp_path)
    assert isinstance(model, CrossEncoder) and model.activation == "identity"
    both = [(QUERY, text) for text in TEXTS]
    np.testing.assert_allclose(model.score_rows(model.pairs(QUERY, TEXTS)), package.predict(both), atol=1e-5)


@pytest.mark.parametrize(("query", "text"), [(3, 9), (9, 3), (9, 9), (0, 30), (5, 5), (6, 30), (30, 4)])
def test_pairs_are_cut_as_tokenizers_do(query: int, text: int) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    words.pre_tokenizer = Whitespace()
    words.enable_truncation(10, strategy="longest_first")
    upstream = words.encode("a " * query, "a " * text).type_ids
    assert fitted(query, text, 10) == (upstream.count(0), upstream.count(1))


def test_int8_is_near(folder: Path) -> None:
    exact, rounded = load(folder), load(folder, precision="int8")
    assert isinstance(exact, CrossEncoder) and isinstance(rounded, CrossEncoder)
    pairs = exact.pairs(QUERY, TEXTS)
    assert np.abs(exact.score_rows(pairs) - rounded.score_rows(pairs)).max() < 0.1
    with pytest.raises(BadRequest, match="precision 'int3' is unknown; write fp32, bf16 or int8"):
        load(folder, precision="int3")


def test_several_labels_are_no_ranking(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="sorts texts into 3 labels, and a reranker gives one score; take one"):
        load(tiny_cross_encoders.save(tmp_path, labels=3))


def test_weights_cut_short(folder: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folder, tmp_path / "copy")
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "copy" / "model.safetensors").write_bytes(whole[:-9])
    with pytest.raises(BadWeights, match="is damaged"):
        load(tmp_path / "copy")


def test_no_encoder_gives_vectors_of_it(folder: Path) -> None:
    from mmgen.models.encoders import sentence_encoder, sentence_transformers

    for loader in (sentence_encoder.load, sentence_transformers.load):
        with pytest.raises(
            BadWeights, match="is a cross-encoder, which gives no vectors; use it to order passages, by --rerank"
        ):
            loader(folder)


def test_layers_that_training_left_lie_in_one_file(tmp_path: Path) -> None:
    """Those that embedded:rerank has from the reader are left out, and read from there again, to the bit."""
    import torch

    model = CrossEncoder.load(hub.resolve("embedded:rerank"))
    model.save(tmp_path / "whole")
    model.save(tmp_path / "apart", "embedded:reader")
    sizes = [(tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "apart")]
    assert sizes[1] < 0.7 * sizes[0]
    weights = model.network.state_dict()
    for name in ("whole", "apart"):
        again = CrossEncoder.load(tmp_path / name).network.state_dict()
        assert all(torch.equal(again[key], weight) for key, weight in weights.items())
