"""Everything a question to documents can say: one object from the command line, HTTP, a form or Python to the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mmgen.errors import BadRequest
from mmgen.interfaces import Scalar
from mmgen.params import check, param

Grounding = Literal["strict", "cite", "off"]
Style = Literal["quote", "sentence"]


@dataclass(frozen=True)
class RagParams:
    """How a question is answered. Raises BadRequest for a value out of its range."""

    k: int = param(5, "how many passages to read.", least=1, most=100, whole=True, limits="1 to 100 passages")
    grounding: Grounding = param(  # noqa: RUF009  a field
        "strict",
        "strict answers with spans of the passages or abstains; cite answers with the whole sentences that hold them; off "
        "writes freely, without citations. With a language model strict keeps its sentences whose words all stand in a "
        "passage; cite keeps all, and marks those that no passage supports.",
        kind=Grounding,
    )
    threshold: float | None = param(
        None,
        "confidence in the passages below which it abstains, 0 to 1; the default is the reader's own.",
        least=0,
        most=1,
    )
    where: Sequence[str] | Mapping[str, Scalar] = param((), "metadata filters, such as lang=en.", hash=False)
    images: int = param(
        0,
        "how many of the store's images to find beside the passages; they come with the answer and are no part of it.",
        least=0,
        most=100,
        whole=True,
        limits="0 (none) to 100",
    )
    rerank: str | None = param(None, "what orders the passages anew: mmr, or a cross-encoder's reference.")

    style: Style = param(  # noqa: RUF009  a field
        "quote",
        "quote answers with the words found; sentence lets a language model (embedded:smollm2, or the one that is named) say "
        "them in a sentence, in words of the evidence and of the question alone; where none holds, the quote is given.",
        kind=Style,
    )

    base: bool = param(False, "leave out what the store has learned from feedback.")

    def __post_init__(self) -> None:
        check(self)
        if self.style == "sentence" and self.grounding == "off":
            raise BadRequest("style is sentence and grounding is off; a sentence says what was found, take strict or cite")
