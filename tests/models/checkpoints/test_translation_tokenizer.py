"""Tokenizers of translation models: the ids of transformers' own, from sentencepiece models trained here."""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from mmgen.models.checkpoints.translation_tokenizer import find
from mmgen.models.lm.language_codes import LanguageCodes
from mmgen.models.lm.tokenizer import Tokenizer

ENGLISH = [
    "The house is small and the garden is large. A dog sleeps under the old apple tree.",
    "Numbers such as 1,234.5 and 99% are common. What is the capital of France? Paris, of course!",
    'He said: "I don\'t know." She laughed - and left. Tea, coffee, water; bread, butter, cheese.',
] * 20
GERMAN = [
    "Das Haus ist klein und der Garten ist groß. Ein Hund schläft unter dem alten Apfelbaum.",
    "Zahlen wie 1.234,5 und 99 % sind üblich. Was ist die Hauptstadt von Frankreich? Paris natürlich!",
] * 20
TEXTS = [
    "The house is small.",
    "What is the capital  of Germany?",
    ">>deu<< The garden is large.",
    " 5% of it … 日本",
    "don't",
    "",
]


def trained(lines: Sequence[str], kind: str, size: int) -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, vocab_size=size, model_type=kind, hard_vocab_limit=False, minloglevel=2
    )
    return out.getvalue()


def pieces(model: bytes) -> list[str]:
    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = [number for number in range(read.get_piece_size()) if not read.is_control(number) and not read.is_unknown(number)]
    return [str(read.id_to_piece(number)) for number in ids]


def numbered(folder: Path, names: Sequence[str]) -> None:
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(dict.fromkeys(names))}))


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_marian(tmp_path: Path) -> None:
    from transformers import MarianTokenizer

    source, target = trained(ENGLISH, "unigram", 120), trained(GERMAN, "unigram", 110)
    (tmp_path / "source.spm").write_bytes(source)
    (tmp_path / "target.spm").write_bytes(target)
    numbered(tmp_path, ["</s>", "<unk>", ">>deu<<", ">>fra<<", *pieces(source), *pieces(target), "<pad>"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"source_lang": "en", "target_lang": "de"}))
    theirs: Any = MarianTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.of(tmp_path)
    assert [ours.prompt(text) for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    answer = theirs(text_target=GERMAN[0]).input_ids
    assert ours.decode(answer) == theirs.decode(answer, skip_special_tokens=True) == GERMAN[0]


def test_m2m100(tmp_path: Path) -> None:
    from transformers import M2M100Tokenizer

    model = trained(ENGLISH, "bpe", 200)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(model)
    numbered(tmp_path, ["<s>", "<pad>", "</s>", "<unk>", *pieces(model)])
    theirs: Any = M2M100Tokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.of(tmp_path)
    assert [ours.prompt(text) for text in TEXTS] == [theirs(text).input_ids for text in TEXTS]
    codes = LanguageCodes.of(ours)
    assert codes.id("de") == theirs.get_lang_id("de")
    theirs.src_lang = "fr"
    assert codes.from_language(ours.prompt(TEXTS[0]), "fr") == theirs(TEXTS[0]).input_ids


def test_other_folders_are_not_of_this_kind(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text("{}")
    assert find(tmp_path) is None
