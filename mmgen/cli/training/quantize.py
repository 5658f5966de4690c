"""`mmgen quantize`: writes a language model with int8 or int4 weights as a folder, or as GGUF."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    int8 = "int8"
    int4 = "int4"
    q8_0 = "q8_0"
    q4_0 = "q4_0"
    q4_1 = "q4_1"
    q4_k = "q4_k"


FOLDERS = (Precision.int8, Precision.int4)


def quantize(
    model: Annotated[str, typer.Argument(help="A model reference, its folder or its GGUF file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write, or the .gguf file.")],
    to: Annotated[Precision, typer.Option(help="Weight format: int8, int4, or of a GGUF file.")] = Precision.int8,
) -> None:
    """Quantize a language model's weights: int8 and int4 into a new folder, all else into a GGUF file for llama.cpp too."""
    from mmgen import hub, weight_files
    from mmgen.errors import BadRequest

    source = hub.resolve(model)
    if to in FOLDERS:
        _folder(source, out, to)
    elif out.suffix != ".gguf":
        raise BadRequest(f"--out is {out}, and {to.value} is written as GGUF; give a file NAME.gguf")
    else:
        _gguf(source, out, to)
    before, after = (sum(path.stat().st_size for path in weight_files.weights(place)) for place in (source, out))
    typer.echo(f"{out}: {after / 1e6:.1f} MB of weights instead of {before / 1e6:.1f}")


def _folder(source: Path, out: Path, to: Precision) -> None:
    import torch

    from mmgen.models.checkpoints import quantized
    from mmgen.models.lm import language_model
    from mmgen.training.checkpoint import replaced

    lm = language_model.load(source, dtype=torch.float32)
    replaced(out, lambda fresh: quantized.save(lm, source, fresh, "int8" if to is Precision.int8 else "int4"))


def _gguf(source: Path, out: Path, to: Precision) -> None:
    """Beside its place first: what stands there is replaced when the new file is whole."""
    from mmgen.models.checkpoints import gguf_checkpoint, gguf_writer
    from mmgen.models.lm import gguf_export

    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.part")
    try:
        file = gguf_checkpoint.find(source)
        if file is not None:
            gguf_writer.requantize(file, fresh, to.value)
        else:
            gguf_export.export(gguf_export.load(source), source, fresh, to.value)
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)
