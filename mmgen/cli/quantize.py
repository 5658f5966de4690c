"""`mmgen quantize`: writes a language model's folder with int8 or int4 weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    int8 = "int8"
    int4 = "int4"


def quantize(
    model: Annotated[str, typer.Argument(help="A model reference or its folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    to: Annotated[Precision, typer.Option(help="Weight format.")] = Precision.int8,
) -> None:
    """Quantize a language model's weights to int8 (one scale per row) or int4 (one scale per group) into a new folder."""
    from mmgen import hub
    from mmgen.models.checkpoints import quantized
    from mmgen.models.lm import language_model
    from mmgen.training.checkpoint import replaced

    folder = hub.resolve(model)
    lm = language_model.load(folder)
    replaced(out, lambda fresh: quantized.save(lm, folder, fresh, to.value))
    before, after = (sum(path.stat().st_size for path in place.glob("*.safetensors")) for place in (folder, out))
    typer.echo(f"{out}: {after / 1e6:.1f} MB of weights instead of {before / 1e6:.1f}")
