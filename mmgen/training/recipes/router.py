"""The assistant's router: which tool a request needs, learned from examples by logistic regression on sentence vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmgen.config import assets_dir
from mmgen.errors import BadRequest, UnreadableFile

if TYPE_CHECKING:
    from mmgen.models.encoders.linear_classifier import LinearClassifier
    from mmgen.runtime import Runtime

ENCODER = "embedded:minilm"


def examples(path: Path) -> list[tuple[str, str]]:
    """(tool, request) of each line but the first, which names the columns. Raises UnreadableFile or BadRequest."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(f"{path} cannot be read ({why}); give lines of a tool, a tab and a request") from None
    rows = [tuple(line.split("\t")) for line in lines if line.strip()]
    for number, row in enumerate(rows, 2):
        if len(row) != 2 or not all(row):
            raise BadRequest(f"{path}, line {number} has {len(row)} columns; write a tool, a tab and a request")
    return [(row[0], row[1]) for row in rows]


def train(rt: Runtime, data: Path | None = None, out: Path | None = None, encoder: str = ENCODER) -> LinearClassifier:
    """Fits and saves it; by default the shipped one, from the shipped examples. Seconds."""
    from mmgen.models.encoders.linear_classifier import fit

    rows = examples(data or assets_dir() / "router" / "examples.tsv")
    vectors = rt.encoder(encoder).embed_text([request for _, request in rows])
    classifier = fit(vectors, [tool for tool, _ in rows], encoder)
    classifier.save(out or assets_dir() / "router" / "router.safetensors")
    return classifier
