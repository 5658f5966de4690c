"""Tokenizers that GGUF files describe: ids are those of transformers' own reading, or of the tokenizer that was written."""

from pathlib import Path
from typing import Any

import gguf
import gguf_models
import pytest
from gguf_models import SPECIAL, pieces, sentencepiece

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_checkpoint, gguf_reader, gguf_tokenizer
from mmgen.models.checkpoints.gguf_pre_tokenizers import SPLITS
from mmgen.models.lm.tokenizer import Tokenizer

TEXTS = [
    "the heat of a thing, and the 1998 season's end",
    "  two spaces\tand a tab \n\n lines  ",
    "Zwölf Boxkämpfer jagen Viktor über 345 große Deiche: naïve café, It's we'LL",
    "<s>then<|user|> the</s>end",
    "日本語のテキスト 🙂 ١٢٣ и русский текст; x=1_000.5",
    "",
]


def theirs(path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def written(path: Path, words: gguf_models.Words, **sizes: Any) -> Path:
    """A file with a tokenizer, and a tiny llama."""
    gguf_models.llama_file(path, words=words, num_hidden_layers=1, **sizes)
    return path


@pytest.mark.parametrize("pre", ["gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o", "qwen35"])
def test_byte_level_equals_transformers(tmp_path: Path, pre: str) -> None:
    path = written(tmp_path / "tiny.gguf", lambda writer: gguf_models.byte_level(writer, pre))
    ours, upstream = Tokenizer.of(path), theirs(path)
    for text in TEXTS:
        assert ours.prompt(text) == upstream(text)["input_ids"], text
        assert ours.encode(text).ids == upstream(text, add_special_tokens=False)["input_ids"]
        assert ours.decode(ours.encode(text).ids) == upstream.decode(ours.encode(text).ids, skip_special_tokens=True)


def test_sentencepiece_equals_transformers(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", sentencepiece, vocab_size=len(pieces()[0]))
    ours, upstream = Tokenizer.of(path), theirs(path)
    for text in TEXTS:
        assert ours.prompt(text) == upstream(text)["input_ids"], text
        assert ours.prompt(text)[0] == 1  # without a word in the file
        assert ours.decode(ours.prompt(text)) == upstream.decode(upstream(text)["input_ids"], skip_special_tokens=True)


def test_sentencepiece_without_a_space_in_front(tmp_path: Path) -> None:
    def words(writer: gguf.GGUFWriter) -> None:
        sentencepiece(writer)
        writer.add_add_space_prefix(False)

    ours = Tokenizer.of(written(tmp_path / "tiny.gguf", words, vocab_size=len(pieces()[0])))
    (first, *_), tokens = ours.encode("the").ids, pieces()[0]
    assert tokens[first] == "t" and ours.decode(ours.encode(" the").ids) == " the"


@pytest.mark.parametrize("name", SPLITS)
def test_every_way_to_cut_a_text_keeps_it(tmp_path: Path, name: str) -> None:
    """Each regular expression compiles, and nothing of a text is lost."""
    path = tmp_path / "words.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    gguf_models.byte_level(writer, name)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    made = gguf_tokenizer.fast(gguf_reader.opened(path))
    for text in TEXTS:
        assert made.decode(made.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


def test_digits_stand_alone_for_smollm(tmp_path: Path) -> None:
    """As its tokenizer.json says; transformers' reading of GGUF joins them."""
    path = written(tmp_path / "tiny.gguf", lambda writer: gguf_models.byte_level(writer, "smollm"))
    fast = Tokenizer.of(path).fast
    assert [piece for piece, _ in fast.pre_tokenizer.pre_tokenize_str("in 1998")] == ["in", "Ġ", "1", "9", "9", "8"]


def test_special_tokens_and_ends(tmp_path: Path) -> None:
    def words(writer: gguf.GGUFWriter) -> None:
        gguf_models.byte_level(writer)
        writer.add_eot_token_id(3)

    path = written(tmp_path / "tiny.gguf", words)
    file = gguf_reader.opened(path)
    assert gguf_tokenizer.special_tokens(file) == {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    assert gguf_tokenizer.end_ids(file) == [1, 3]
    assert gguf_checkpoint.config_values(path)["eos_token_id"] == [1, 3]
    ours = Tokenizer.of(path)
    assert ours.encode("a<|user|>b").ids[1:-1] == [SPECIAL.index("<|user|>")]


def broken(tmp_path: Path, change: Any) -> str:
    path = written(tmp_path / "tiny.gguf", change)
    with pytest.raises(BadWeights) as error:
        Tokenizer.of(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_tokenizers_that_do_not_fit(tmp_path: Path) -> None:
    def kind(writer: gguf.GGUFWriter) -> None:
        gguf_models.byte_level(writer)
        writer.kv_data[0]["tokenizer.ggml.model"].value = "rwkv"

    def cut(writer: gguf.GGUFWriter) -> None:
        gguf_models.byte_level(writer, "no-such")

    def none(writer: gguf.GGUFWriter) -> None:
        gguf_models.byte_level(writer)
        writer.kv_data[0].pop("tokenizer.ggml.tokens")

    def merges(writer: gguf.GGUFWriter) -> None:
        gguf_models.byte_level(writer)
        writer.kv_data[0]["tokenizer.ggml.merges"].value = ["no such"]

    def scores(writer: gguf.GGUFWriter) -> None:
        sentencepiece(writer)
        writer.kv_data[0]["tokenizer.ggml.scores"].value = [0.0]

    assert "tokenizer of the kind 'rwkv'; there are gpt2, llama" in broken(tmp_path, kind)
    assert "cuts texts as 'no-such', which is not known here" in broken(tmp_path, cut)
    assert "has no tokens" in broken(tmp_path, none)
    assert "has a damaged tokenizer (" in broken(tmp_path, merges)
    gguf_models.llama_file(tmp_path / "pieces.gguf", words=scores, num_hidden_layers=1, vocab_size=len(pieces()[0]))
    with pytest.raises(BadWeights, match="has 1 scores for 278 tokens"):
        Tokenizer.of(tmp_path / "pieces.gguf")


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    path = written(tmp_path / "tiny.gguf", sentencepiece, vocab_size=264)
    with pytest.raises(BadWeights, match=r"has 278 tokens and 264 vectors: its tokenizer is another model's"):
        gguf_checkpoint.config_values(path)
