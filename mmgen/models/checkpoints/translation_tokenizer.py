"""Tokenizers of Marian (opus-mt) and M2M100 checkpoints: sentencepiece's pieces under the ids of a vocab.json of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SOURCE = {"source.spm": "marian", "sentencepiece.bpe.model": "m2m_100"}
"""How the pieces of the language that is read are called; beside vocab.json."""
FOREIGN = -10_000.0
"""Score of a piece that only the other language's sentencepiece model has: it is taken where nothing else fits, as a letter
is in transformers' tokenizer (which takes a run of them as one unknown piece)."""


def find(folder: Path) -> Path | None:
    """The file of pieces, where the folder is of this kind."""
    found = [folder / name for name in SOURCE if (folder / name).is_file()]
    return found[0] if found and (folder / "vocab.json").is_file() else None


def converted(pieces: Path) -> Any:
    """A `tokenizers.Tokenizer` with the ids of transformers' own. Raises whatever the libraries raise for damaged files."""
    from sentencepiece import sentencepiece_model_pb2 as protocol
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors

    ids: dict[str, int] = json.loads((pieces.parent / "vocab.json").read_text(encoding="utf-8"))
    proto = protocol.ModelProto()
    proto.ParseFromString(pieces.read_bytes())
    fast = Tokenizer(_model(proto, ids))
    charsmap = proto.normalizer_spec.precompiled_charsmap
    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if proto.normalizer_spec.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(_spaces(), " ")]
    fast.normalizer = normalizers.Sequence(steps)
    fast.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    fast.decoder = decoders.Metaspace(prepend_scheme="always")
    known = [token for token in ids if token in ("<s>", "</s>", "<pad>", "<unk>") or (token[:2] == ">>" and token[-2:] == "<<")]
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in known])
    before = ""
    if SOURCE[pieces.name] == "m2m_100":
        from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

        fast.add_special_tokens([AddedToken(f"__{code}__", normalized=False) for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]])
        before = "__en__ "
    special = [(token, fast.token_to_id(token)) for token in (*before.split(), "</s>")]
    fast.post_processor = processors.TemplateProcessing(single=f"{before}$A </s>", special_tokens=special)
    return fast


def _model(proto: Any, ids: dict[str, int]) -> Any:
    from tokenizers.models import BPE, Unigram
    from transformers.tokenization_utils_base import generate_merges

    if proto.trainer_spec.model_type == proto.trainer_spec.BPE:
        ranks = {piece.piece: rank for rank, piece in enumerate(proto.pieces) if piece.piece in ids}
        return BPE(ids, generate_merges(ranks), unk_token="<unk>", fuse_unk=True)
    scores = {piece.piece: piece.score for piece in proto.pieces if piece.type == piece.NORMAL}
    by_id = sorted(ids, key=ids.__getitem__)
    return Unigram([(token, scores.get(token, FOREIGN)) for token in by_id], unk_id=ids["<unk>"], byte_fallback=False)


def _spaces() -> Any:
    from tokenizers import Regex

    return Regex(" {2,}")
