"""`mmgen rag eval`: measures the answers of a store on questions whose answers are known."""

from __future__ import annotations

from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from mmgen.cli.from_signature import spread
from mmgen.cli.output import print_columns, print_json
from mmgen.rag_params import RagParams


@spread(RagParams)
def evaluate(
    questions: Annotated[Path, typer.Argument(help='JSON lines: {"question": "...", "answers": ["..."]}; [] for none.')],
    params: RagParams,
    store: Annotated[str | None, typer.Option("--store", "-s", help="Name of the store, or a path.")] = None,
    reader: Annotated[str | None, typer.Option(help="Model that reads: embedded:NAME, a folder or a repo id.")] = None,
    model: Annotated[str | None, typer.Option(help="Language model that writes the answer.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the run; an unfinished one there goes on.")] = Path("runs/rag-eval"),
    against: Annotated[Path | None, typer.Option(help="Folder of an earlier run, to stand beside this one.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many questions.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure answers against known ones: retrieval, EM and F1, abstention, calibration, faithfulness, time.

    Writes OUT/report.html. Questions that the documents do not answer have "answers": []. A line may name the "documents" or
    "passages" that answer it; else a passage counts as relevant if it holds an answer.
    """
    from rich.progress import Progress

    from mmgen.evaluation import rag_outcomes, rag_questions, rag_report
    from mmgen.evaluation.rag_report import RagRun
    from mmgen.pipelines.rag_text import RagText
    from mmgen.runtime import Runtime

    every = rag_questions.read(questions)[:limit]
    other = None
    if against is not None:
        other = RagRun(against.name, rag_outcomes.settings_of(against), list(rag_outcomes.stored(against)))
    with Runtime() as rt, closing(RagText(rt, store=store, reader=reader, model=model)) as rag:
        settings: dict[str, Any] = {
            "store": rag.library.name, "reader": reader or rt.config.reader, "model": model,
            "encoder": rag.library.filled().encoder,
        }  # fmt: skip
        with Progress(disable=as_json, transient=True) as bar:
            task = bar.add_task("asking", total=len(every))
            advance = lambda done: bar.update(task, completed=done)  # noqa: E731
            outcomes = rag_outcomes.run(rag, every, params, out, settings, advance)
    run = RagRun(out.name, rag_outcomes.settings_of(out), outcomes)
    report = out / "report.html"
    report.write_text(rag_report.html(run, other), encoding="utf-8")
    if as_json:
        print_json({"figures": run.figures, "against": other.figures if other else None, "report": str(report)})
        return
    head = ["", run.name, *([other.name, "difference"] if other else [])]
    print_columns(head, rag_report.table(run, other))
    typer.echo(f"report: {report}")
    if not find_spec("matplotlib"):
        typer.echo(rag_report.WITHOUT_PLOTS, err=True)
