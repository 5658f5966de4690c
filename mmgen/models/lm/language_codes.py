"""Tokens by which a translation model knows languages: NLLB's eng_Latn, mBART's en_XX, M2M100's __en__."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmgen.errors import BadRequest, nearest

if TYPE_CHECKING:
    from mmgen.models.lm.tokenizer import Tokenizer

CODE = re.compile(r"^(?:[a-z]{2,3}_[A-Z][A-Za-z]{1,3}|__[a-z]{2,4}(?:_[A-Z]{2})?__)$")


class LanguageCodes:
    """A tokenizer's codes by their ids; most models have none."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self.ids = dict(ids)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> LanguageCodes:
        added = tokenizer.fast.get_added_tokens_decoder()
        return cls({token.content: number for number, token in added.items() if CODE.match(token.content)})

    def id(self, said: str) -> int:
        """Of a code as the tokenizer writes it, or of its language alone where that has one code: fr, fra, fr_XX, fra_Latn.

        Raises BadRequest for another, or where the model knows no languages.
        """
        if not self.ids:
            raise BadRequest(
                f"this model has no token for the language {said!r}; say in the prompt what it is to translate into"
            )
        if said in self.ids:
            return self.ids[said]
        alike = [code for code in self.ids if code.strip("_").split("_")[0] == said.strip("_")]
        if len(alike) != 1:
            of_it = f"it may be {', '.join(alike)}" if alike else f"there are {', '.join(sorted(self.ids)[:6])} ..."
            raise BadRequest(
                f"the language {said!r} is none of this model's {len(self.ids)}: {of_it}{nearest(said, list(self.ids))}"
            )
        return self.ids[alike[0]]

    def from_language(self, ids: Sequence[int], said: str) -> list[int]:
        """A text's ids with that language's code in the place of another's.

        Raises BadRequest where the tokenizer puts no code around a text.
        """
        number, codes = self.id(said), set(self.ids.values())
        places = [place for place, one in enumerate(ids) if one in codes]
        if not places:
            raise BadRequest(f"this model is not told which language it reads; leave out the source language {said!r}")
        return [number if place == places[0] else one for place, one in enumerate(ids)]
