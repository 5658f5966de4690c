"""What a checkpoint wants written before a text: `query: ` before questions, `passage: ` before what they are to find."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mmgen.errors import BadWeights

Side = Literal["", "query", "document"]
"""What a text is in a search; "" where it is neither, as when two texts are compared."""
DOCUMENTS = ("document", "passage", "corpus")  # names of one thing, the first that there is counts
FILE = "config_sentence_transformers.json"


@dataclass(frozen=True)
class Prompts:
    """Of an encoder, by side. sentence-transformers' `encode_query`, `encode_document` and `encode` write these."""

    query: str = ""
    document: str = ""
    default: str = ""  # before what is neither

    def of(self, side: Side) -> str:
        return {"query": self.query, "document": self.document}.get(side, self.default)

    def sides(self) -> dict[str, str]:
        """What a store remembers."""
        return {"query": self.query, "document": self.document}


def read(folder: Path) -> Prompts:
    """Raises BadWeights where the file names a prompt that it does not have."""
    try:
        values = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except OSError:
        return Prompts()
    except ValueError as why:
        raise BadWeights(f"{folder / FILE} cannot be read ({why}); fetch the model again") from None
    found = {name: prompt or "" for name, prompt in (values.get("prompts") or {}).items()}
    name = values.get("default_prompt_name")
    if name is not None and name not in found:
        raise BadWeights(f"{folder / FILE} has no prompt {name!r}, which it gives as the default one; fetch the model again")
    document = next((found[name] for name in DOCUMENTS if found.get(name)), "")
    return Prompts(found.get("query", ""), document, found[name] if name is not None else "")


def from_store(kept: Mapping[str, str]) -> Prompts:
    """Those that a store remembers."""
    return Prompts(kept.get("query", ""), kept.get("document", ""))
