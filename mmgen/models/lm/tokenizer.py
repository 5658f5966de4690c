"""Text to token ids with character offsets. A thin hand on the `tokenizers` library; knows no model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_checkpoint, gguf_tokenizer
from mmgen.models.lm import tokenizer_files
from mmgen.registry import one_line


@dataclass(frozen=True)
class TokenizedText:
    """A text's tokens, without special ones. `text[start:end]` of `spans[i]` is what `ids[i]` stands for."""

    ids: list[int]
    spans: list[tuple[int, int]]


class Tokenizer:
    """A fast tokenizer (`tokenizer.json`) used as the checkpoint made it, without its padding and truncation."""

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer as Fast

        try:
            self.fast = Fast.from_file(str(path))
        except Exception as why:  # the library raises bare Exception for a missing or damaged file
            raise BadWeights(f"{path} is no tokenizer.json ({why}); fetch the model again") from None
        self._whole()

    @classmethod
    def of(cls, folder: Path) -> Tokenizer:
        """A checkpoint's: its tokenizer.json, what transformers makes of others, such as tokenizer.model or vocab.json, or
        what a GGUF file describes."""
        path = folder / "tokenizer.json"
        if path.is_file():
            return cls(path)
        made = cls.__new__(cls)
        if (file := gguf_checkpoint.find(folder)) is not None:
            made.fast = gguf_tokenizer.fast(file)
            made._whole()
            return made
        try:
            made.fast = tokenizer_files.converted(folder)
        except Exception as why:  # whatever a tokenizer of somebody's own raises
            raise BadWeights(
                f"{folder} has no tokenizer.json, and transformers makes none of its files ({one_line(why)[:200]}); "
                "save it with a fast tokenizer"
            ) from None
        made._whole()
        return made

    def _whole(self) -> None:
        """Texts are neither cut nor filled up."""
        self.fast.no_truncation()
        self.fast.no_padding()

    def id(self, token: str) -> int:
        number = self.fast.token_to_id(token)
        if number is None:
            raise BadWeights(f"the tokenizer has no token {token!r}; it is not this model's")
        return int(number)

    def ends(self) -> tuple[int, int]:
        """The ids that an encoder reads before and after a text: [CLS] and [SEP], or <s> and </s>."""
        ids = self.fast.encode("").ids
        if len(ids) != 2:
            raise BadWeights(f"the tokenizer puts {len(ids)} special tokens around a text, not 2; it is no encoder's")
        return ids[0], ids[1]

    def encode(self, text: str) -> TokenizedText:
        return self.encode_many([text])[0]

    def prompt(self, text: str) -> list[int]:
        """Ids with the special tokens that the checkpoint puts around a text, such as a first <s>."""
        return list(self.fast.encode(text).ids)

    def encode_many(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Several texts at once, on all threads."""
        encoded = self.fast.encode_batch(list(texts), add_special_tokens=False)
        return [TokenizedText(one.ids, one.offsets) for one in encoded]

    @cached_property
    def control(self) -> dict[str, int]:
        """Control tokens, such as <|im_start|>, and their ids: what the checkpoint marks as special."""
        return {one.content: number for number, one in self.fast.get_added_tokens_decoder().items() if one.special}

    def encode_quoting(self, text: str, quoted: Mapping[str, str]) -> list[int]:
        """Ids of a text whose control tokens count, while marks stand for letters that only look like control tokens.

        As the library does, the text is cut at its control tokens, and what lies between is encoded on its own.

        Args:
            quoted: marks that occur in the text, and the letters that each stands for.
        """
        first, others = self._letters
        ids, end = list[int](), 0

        def between(part: str) -> list[int]:
            for mark, letters in quoted.items():
                part = part.replace(mark, letters)
            return list((others if ids else first).encode(part, add_special_tokens=False).ids) if part else []

        for found in self._cuts.finditer(text):
            ids += between(text[end : found.start()])
            ids.append(int(str(found.lastgroup)[1:]))
            end = found.end()
        return ids + between(text[end:])

    @cached_property
    def _letters(self) -> tuple[Any, Any]:
        """Tokenizers to which control tokens are letters: for the beginning of a text, and for what follows a control token."""
        from tokenizers import Tokenizer as Fast

        values = json.loads(self.fast.to_str())
        first = others = Fast.from_str(json.dumps(values))
        if any(step.get("prepend_scheme") == "first" for step in _steps(values["pre_tokenizer"] or {})):
            for step in _steps(values["pre_tokenizer"]):  # a space is put before the first word of the whole text alone
                if step.get("prepend_scheme") == "first":
                    step["prepend_scheme"] = "never"
            others = Fast.from_str(json.dumps(values))
        first.encode_special_tokens = others.encode_special_tokens = True
        return first, others

    @cached_property
    def _cuts(self) -> re.Pattern[str]:
        """Finds control tokens, with the spaces that each takes; the group's name tells its id."""
        tokens = [(number, one) for number, one in self.fast.get_added_tokens_decoder().items() if one.special]
        tokens.sort(key=lambda token: -len(token[1].content))
        space = (r"", r"\s*")
        each = [f"{space[one.lstrip]}(?P<t{number}>{re.escape(one.content)}){space[one.rstrip]}" for number, one in tokens]
        return re.compile("|".join(each) or r"(?!)")

    def decode(self, ids: Sequence[int], shown: Collection[int] = ()) -> str:
        """The text of ids. Control tokens are left out, but for those that are to be `shown`."""
        if not any(token in shown for token in ids):
            return str(self.fast.decode(list(ids)))
        hidden = set(self.control.values()).difference(shown)
        return str(self.fast.decode([token for token in ids if token not in hidden], skip_special_tokens=False))

    def token_bytes(self, token: int) -> bytes:
        """What a token is within a text, as UTF-8: with the space that it begins with, and maybe a part of a character."""
        name = self.fast.id_to_token(token)
        if name is None:  # a row that fills the vocabulary up to a round number
            return b""
        if token in self._added:
            return str(name).encode()
        if "ByteLevel" in self._decoders and all(letter in BYTES for letter in name):
            return bytes(BYTES[letter] for letter in name)
        if "ByteFallback" in self._decoders and re.fullmatch("<0x[0-9A-F]{2}>", name):
            return bytes.fromhex(name[3:5])
        if self._decoders & {"Metaspace", "ByteFallback"}:
            return str(name).replace("\u2581", " ").encode()
        return self.decode([token]).encode()

    @cached_property
    def _added(self) -> Collection[int]:
        return frozenset(self.fast.get_added_tokens_decoder())

    @cached_property
    def _decoders(self) -> set[str]:
        """The kinds of steps by which tokens become a text."""
        made = self.fast.decoder
        return set() if made is None else {str(step.get("type")) for step in _steps(json.loads(made.__getstate__()))}


def _steps(value: Any) -> Iterator[dict[str, Any]]:
    """A step of a tokenizer.json, or all steps of a sequence."""
    inner = value.get("decoders") or value.get("pretokenizers")
    if inner is None:
        yield value
        return
    for step in inner:
        yield from _steps(step)


def _byte_letters() -> Iterator[tuple[str, int]]:
    """The letter that byte-level BPE writes for each byte (Radford et al. 2019)."""
    strange = 0
    for byte in range(256):
        plain = 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255
        yield chr(byte if plain else 256 + strange), byte
        strange += not plain


BYTES = dict(_byte_letters())
