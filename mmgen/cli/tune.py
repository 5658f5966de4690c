"""`mmgen tune`: measures which precision is fastest among those that are as good, and keeps the choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmgen.cli.output import print_columns, print_json
from mmgen.errors import BadRequest

if TYPE_CHECKING:
    from mmgen.models.tuning.choices import Choice
    from mmgen.runtime import Runtime


def tune(
    models: Annotated[list[str] | None, typer.Argument(help="References without a #; by default those of config.yaml.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure each model's precisions, for up to half a minute, and keep the fastest that is as good as fp32.

    A candidate counts if vectors keep a cosine of 0.9999 to fp32, images 40 dB of PSNR, texts their perplexity within 0.5 %,
    and a reader's answers their F1. `MODEL#fp32` and the like run in that precision whatever was measured; `mmgen doctor`
    lists what was chosen.
    """
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        rt.host.tuner.measures = rt.host.tuner.thorough = True
        chosen = [measured(rt, kind, reference) for kind, reference in subjects(rt, models or ())]
        made = [choice for choice in chosen if choice is not None]
    if as_json:
        print_json(made)
        return
    rows = [
        (
            choice.model if n == 0 else "",
            row.candidate or "as it is",
            "" if row.ms is None else f"{row.ms:.1f}",
            verdict(choice, n),
        )
        for choice in made
        for n, row in enumerate(choice.table)
    ]
    print_columns(("model", "candidate", "ms a pass", ""), rows)
    for choice in made:
        typer.echo(str(choice) + ("" if choice.settled else "; run this again when the machine is quiet"))


def subjects(rt: Runtime, given: Sequence[str]) -> list[tuple[str, str]]:
    """Kinds and references: the given ones, or the configured ones that are on this machine."""
    from mmgen import embedded, hub

    config = rt.config
    if not given:
        defaults = [
            ("encoder", config.encoder), ("reader", config.reader), ("denoiser", config.denoiser),
            ("image encoder", config.image_encoder), ("text", config.text),
        ]  # fmt: skip
        return [(kind, reference.partition("#")[0]) for kind, reference in defaults if embedded.present(reference)]
    if named := next((reference for reference in given if "#" in reference), None):
        raise BadRequest(f"{named} names its precision already; leave out what stands behind the #")
    kinds = {one.reference: one.kind for one in hub.models()}
    return [(kinds.get(reference) or hub.kind_of(hub.resolve(reference)), reference) for reference in given]


def measured(rt: Runtime, kind: str, reference: str) -> Choice | None:
    """Loads the model, by which it is measured. None: its kind, or its loader, leaves nothing to choose, which is told."""
    opens: dict[str, Callable[[str], Any]] = {
        "encoder": rt.encoder, "denoiser": rt.denoiser, "image encoder": rt.seeing, "cross-encoder": rt.cross_encoder,
        "text": rt.text, "reader": rt.reader,
    }  # fmt: skip
    before = len(rt.host.tuner.made)
    if kind in opens:
        opens[kind](reference)
    if len(rt.host.tuner.made) > before:
        return rt.host.tuner.made[-1]
    typer.echo(f"{reference} has one precision here, so nothing was measured", err=True)
    return None


def verdict(choice: Choice, number: int) -> str:
    """What became of a candidate."""
    row = choice.table[number]
    if row.candidate == choice.precision:
        return f"chosen ({row.why})"
    return f"accepted ({row.why})" if row.accepted else f"refused: {row.why}"
