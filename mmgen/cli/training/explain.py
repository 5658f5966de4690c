"""`mmgen explain`: what a language model is made of, and what happens in it while it reads a prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import BadRequest


def explain(
    model: Annotated[str, typer.Argument(help="A model reference.")] = "embedded:smollm2",
    context: Annotated[int, typer.Option(min=1, help="Places for which a token's FLOPs are told.")] = 1024,
    diagram: Annotated[Path | None, typer.Option(help="Draw its blocks to this SVG.")] = None,
    lens: Annotated[str | None, typer.Option(help="A prompt: draw what every layer would say (logit lens).")] = None,
    patch: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two prompts of one length, clean and corrupted: draw which states carry the difference."),
    ] = None,
    answers: Annotated[
        tuple[str, str] | None, typer.Option(help="What follows the clean and the corrupted prompt, for --patch.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="The PNG of --lens or --patch.")] = Path("explained.png"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Parts, shapes and parameters of a model, bytes of keys and values and FLOPs a token; and drawings of what it does."""
    from mmgen.pipelines.image import output_paths
    from mmgen.pipelines.language import explanation
    from mmgen.runtime import Runtime

    if (patch is None) != (answers is None):
        raise BadRequest("--patch compares two answers; give --patch CLEAN CORRUPTED and --answers WORD WORD")
    if patch is not None and lens is not None:
        raise BadRequest("--lens and --patch both write --out; give one of them")
    if lens is not None or patch is not None:
        output_paths.check_png(out)  # told before a model is loaded
    with Runtime() as rt:
        client = rt.text(model)
        if diagram is not None:
            diagram.write_text(explanation.diagram_of(client), encoding="utf-8")
        if lens is not None:
            explanation.lens_image(client, lens).save(out)
        if patch is not None and answers is not None:
            explanation.patching_image(client, patch, answers).save(out)
        told = explanation.described(client, context)
    if as_json:
        print_json(told)
        return
    show(told)
    for path in ([diagram] if diagram else []) + ([out] if lens or patch else []):
        typer.echo(f"wrote {path}")


def show(told: dict[str, Any]) -> None:
    rows = []
    for one in told["parts"]:
        shape, memory = " x ".join(map(str, one["shape"])), f"{one['bytes'] / 1e6:,.1f} MB"
        rows.append((one["name"], shape, str(one["count"]), f"{one['parameters']:,}", memory))
    print_columns(("part", "shape", "times", "parameters", "memory"), rows)
    typer.echo(f"{told['parameters']:,} parameters, {told['bytes'] / 1e6:,.1f} MB of weights")
    if told["flops_per_token"] is not None:
        typer.echo(
            f"a token: {told['kv_bytes_per_token']:,} bytes of keys and values, {told['flops_per_token'] / 1e6:,.0f} MFLOP "
            f"behind {told['context']:,} others"
        )
