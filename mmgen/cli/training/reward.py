"""`mmgen reward`: what a reward model thinks of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_columns

app = typer.Typer(help="Reward models, as `mmgen train reward` makes them.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keeps `score` a subcommand while it is the only one."""


@app.command()
def score(
    data: Annotated[Path, typer.Argument(help="JSON lines of messages, or of prompt and response; or of pairs.")],
    model: Annotated[str, typer.Option(help="The OUT/model of `mmgen train reward`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines: a row's rewards, or both of a pair's.")] = False,
) -> None:
    """Rewards of answers; of pairs (prompt, chosen, rejected) both, and in how many the chosen one's is higher."""
    from mmgen.runtime import Runtime
    from mmgen.training.data import chat_data, preference_pairs, text_files

    rows = [(row, f"{data}, row {number}") for number, row in enumerate(text_files.rows(data), 1)]
    paired = bool(rows) and "chosen" in rows[0][0]
    if paired:
        talks = [talk for row, where in rows for talk in preference_pairs.conversations(row, where)]
    else:
        talks = [chat_data.messages_of(row, where) for row, where in rows]
    with Runtime() as rt:
        client = rt.reward_model(model)
        rewards = client.score(talks)
        totals = client.totals(rewards)
    told = [
        {**dict(zip(client.objectives, one, strict=True)), "total": total}
        for one, total in zip(rewards.tolist(), totals.tolist(), strict=True)
    ]
    if as_json:
        shown = [{"chosen": a, "rejected": b} for a, b in zip(told[::2], told[1::2], strict=True)] if paired else told
        for one in shown:
            typer.echo(json.dumps(one))
        return
    names = ["total", *(client.objectives if len(client.objectives) > 1 else ())]
    lines = [
        (*(f"{one[name]:.3f}" for name in names), " ".join(talk[-1]["content"].split())[:80])
        for one, talk in zip(told, talks, strict=True)
    ]
    print_columns((*names, "answer"), lines)
    if paired:
        right = sum(a > b for a, b in zip(totals[::2], totals[1::2], strict=True))
        typer.echo(f"{right} of {len(rows)} pairs: the chosen answer has the higher reward")
