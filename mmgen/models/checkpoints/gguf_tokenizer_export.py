"""A tokenizer.json's tokenizer as a GGUF file's metadata: byte-level BPE, and sentencepiece's with scores for its merges."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.models.checkpoints.gguf_pre_tokenizers import GPT2, SPLITS
from mmgen.models.checkpoints.gguf_tokenizer import CONTROL, USER_DEFINED

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NORMAL, UNKNOWN, UNUSED, BYTE = 1, 2, 5, 6
NOT_WRITTEN = "convert it with llama.cpp's convert_hf_to_gguf.py, and quantize the file"
BYTE_TOKEN = re.compile(r"<0x[0-9A-F]{2}>")


def metadata(
    fast: Tokenizer, size: int, bos_id: int | None, eos_ids: Collection[int], template: str, name: str
) -> dict[str, Any]:
    """`size`: words of the model, which may have more than the tokenizer; `template`: Jinja, or "".

    Raises BadRequest for a tokenizer of another kind, or one that cuts texts in a way without a name.
    """
    told = json.loads(fast.to_str())
    tokens = [fast.id_to_token(number) or f"[PAD{number}]" for number in range(size)]
    added = {one["id"]: CONTROL if one["special"] else USER_DEFINED for one in told["added_tokens"]}
    kinds = [added.get(number, NORMAL if fast.id_to_token(number) else UNUSED) for number in range(size)]
    values = {
        "tokens": tokens,
        "token_type": kinds,
        "bos_token_id": bos_id,
        "eos_token_id": min(eos_ids, default=None),
        "add_bos_token": fast.encode("").ids[:1] == [bos_id],
        **_kind(told, tokens, kinds, name),
    }
    return {f"tokenizer.ggml.{key}": value for key, value in values.items()} | {"tokenizer.chat_template": template or None}


def _kind(told: dict[str, Any], tokens: Sequence[str], kinds: list[int], name: str) -> dict[str, Any]:
    """What belongs to the kind of tokenizer. Kinds of tokens that only sentencepiece has are set."""
    merges = [one if isinstance(one, str) else " ".join(one) for one in told["model"].get("merges", ())]
    if told["model"]["type"] == "BPE" and (told.get("decoder") or {}).get("type") == "ByteLevel":
        cuts = tuple(_cuts(told["pre_tokenizer"]))
        found = next((name for name, splits in SPLITS.items() if splits == cuts), None)
        if found is None:
            raise BadRequest(f"the tokenizer of {name} cuts texts in a way that GGUF has no name for; {NOT_WRITTEN}")
        return {"model": "gpt2", "pre": found, "merges": merges}
    if told["model"]["type"] != "BPE" or not told["model"].get("byte_fallback"):
        raise BadRequest(f"the tokenizer of {name} is neither byte-level BPE nor sentencepiece's; {NOT_WRITTEN}")
    unknown = told["model"].get("unk_token")
    for number, token in enumerate(tokens):
        if token == unknown:
            kinds[number] = UNKNOWN
        elif BYTE_TOKEN.fullmatch(token):
            kinds[number] = BYTE
    return {
        "model": "llama",
        "scores": _scores(tokens, merges),
        "unknown_token_id": None if unknown is None else tokens.index(unknown),
        "add_space_prefix": _prefixes(told),
    }


def _scores(tokens: Sequence[str], merges: Sequence[str]) -> list[float]:
    """The token that is merged first has the highest; those that no merge makes come last, in their order."""
    first: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        first.setdefault(merge.replace(" ", "", 1), rank)
    return [-float(first.get(token, len(merges) + number)) for number, token in enumerate(tokens)]


def _prefixes(told: dict[str, Any]) -> bool:
    """Whether a text is read with a space before it."""
    steps = [one for one in (told.get("normalizer"), told.get("pre_tokenizer")) if one]
    flat = [part for one in steps for part in one.get("normalizers", one.get("pretokenizers", [one]))]
    return any(
        one["type"] == "Prepend" or (one["type"] == "Metaspace" and one.get("prepend_scheme", "always") != "never")
        for one in flat
    )


def _cuts(told: dict[str, Any]) -> list[str]:
    """The regular expressions of a pre-tokenizer, as gguf_pre_tokenizers.py has them."""
    steps = told["pretokenizers"] if told["type"] == "Sequence" else [told]
    out: list[str] = []
    for step in steps:
        if step["type"] == "Digits":
            out.append(r"\p{N}" if step["individual_digits"] else "digits")
        elif step["type"] == "Split":
            out.append(step["pattern"].get("Regex", "a string"))
        elif step["type"] == "ByteLevel":
            out += [GPT2] if step.get("use_regex", True) else []
        else:
            out.append(step["type"])
    return out
