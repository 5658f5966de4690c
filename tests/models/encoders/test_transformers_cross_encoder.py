from pathlib import Path

import numpy as np
import pytest
import tiny_cross_encoders
import torch
from sentence_transformers import CrossEncoder as Package
from tiny_tokenizers import byte_level
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.encoders.cross_encoder import load
from mmgen.models.encoders.transformers_cross_encoder import DecoderReranker, TransformersCrossEncoder

QUERY, TEXTS = "red lamp", ["sea sea", "green " * 30, "lamp", "red sea lamp green"]


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "modernbert"])
def test_scores_are_the_packages(kind: str, tmp_path: Path) -> None:
    extra = {"cls_token_id": 1, "sep_token_id": 2, "global_attn_every_n_layers": 1} if kind == "modernbert" else {}
    folder = tiny_cross_encoders.save(tmp_path, kind, **extra)
    model = load(folder)
    assert isinstance(model, TransformersCrossEncoder)
    scores = model.score_rows(model.pairs(QUERY, TEXTS))
    np.testing.assert_allclose(scores, Package(str(folder)).predict([(QUERY, text) for text in TEXTS]), atol=1e-6)
    assert len(set(scores.tolist())) == 4
    alike = model.pairs(QUERY, ["lamp red", "sea lamp", "red sea"])
    assert np.array_equal(model.score_rows(alike), np.concatenate([model.score_rows([pair]) for pair in alike])), "to the bit"
    with pytest.raises(BadRequest, match="is not run in int8; write the reference without #int8"):
        load(folder, precision="int8")


def decoder_words(*more: str) -> PreTrainedTokenizerFast:
    fast = byte_level()
    fast.add_tokens(list(more))
    return PreTrainedTokenizerFast(tokenizer_object=fast, pad_token="!")


def test_a_decoder_is_asked_for_yes_or_no(tmp_path: Path) -> None:
    """Against the lines of its card, one pair at a time."""
    words = decoder_words("yes", "no")
    folder = tiny_cross_encoders.save_decoder(tmp_path, words)
    model = load(folder)
    assert isinstance(model, DecoderReranker)
    rows = model.pairs(QUERY, [*TEXTS[2:], "sea " * 500])
    assert [len(row) for row in rows][-1] == 400 and len(set(map(len, rows))) == 3, "the last is cut, and its question kept"
    upstream, expected = AutoModelForCausalLM.from_pretrained(folder), []
    yes, no = words.convert_tokens_to_ids("yes"), words.convert_tokens_to_ids("no")
    for row in rows:
        with torch.no_grad():
            last = upstream(torch.tensor([row])).logits[0, -1]
        expected.append(float(torch.stack((last[no], last[yes])).softmax(0)[1]))
    np.testing.assert_allclose(model.score_rows(rows), expected, atol=1e-5)
    alike = model.pairs(QUERY, ["lamp", "lamp", "lamp"])
    assert np.array_equal(model.score_rows(alike), np.concatenate([model.score_rows([row]) for row in alike])), "to the bit"
    assert model.tokenizer.decode(rows[0][-60:]).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    with pytest.raises(BadRequest, match=r"the query is \d+ tokens with its instruction, .* reads 400; shorten it"):
        model.pairs("sea " * 500, ["lamp"])


def test_a_decoder_without_the_words(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="has no tokens yes and no"):
        load(tiny_cross_encoders.save_decoder(tmp_path, decoder_words()))


def test_no_model_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"]}')
    with pytest.raises(BadWeights, match="holds BertModel, which scores no pairs; give a cross-encoder's folder"):
        load(tmp_path)
