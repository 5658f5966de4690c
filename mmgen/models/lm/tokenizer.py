"""Text to token ids with character offsets. A thin hand on the `tokenizers` library; knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.fast.decode(list(ids)))
