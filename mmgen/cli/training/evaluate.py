"""`mmgen eval`: a language model under EleutherAI's evaluation harness, or how far its answers can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmgen.cli.output import print_json


def evaluate(
    model: Annotated[str, typer.Argument(help="A model reference or its folder.")],
    tasks: Annotated[str, typer.Option(help="Tasks or groups of lm-eval, or YAML files, with commas between them.")] = "",
    calibration: Annotated[
        Path | None, typer.Option(help='Instead: calibration on questions, JSON lines {"question": "...", "answers": ["..."]}.')
    ] = None,
    include: Annotated[Path | None, typer.Option(help="A folder with tasks of your own.")] = None,
    shots: Annotated[int | None, typer.Option("--num-fewshot", min=0, help="Examples before each question.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each task.")] = None,
    chat: Annotated[bool, typer.Option("--apply-chat-template", help="Ask in the model's chat template.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a language model on tasks of lm-eval; its requests share forward passes, as chats do."""
    from mmgen.errors import BadRequest
    from mmgen.runtime import Runtime

    if bool(tasks) == (calibration is not None):
        raise BadRequest("name either --tasks of lm-eval, or a file of questions for --calibration")
    if calibration is not None:
        _calibrated(model, calibration, limit, as_json)
        return
    from mmgen.training.eval import harness

    with Runtime() as rt:
        results = harness.evaluate(rt.text(model), tasks.split(","), include, shots, limit, chat)
    if as_json:
        print_json({key: results[key] for key in ("results", "n-shot", "n-samples", "versions")})
        return
    from lm_eval.utils import make_table

    typer.echo(make_table(results))


def _calibrated(model: str, questions: Path, limit: int | None, as_json: bool) -> None:
    from mmgen.evaluation import answer_calibration, rag_questions
    from mmgen.runtime import Runtime

    asked = rag_questions.read(questions)[:limit]
    with Runtime() as rt:
        answers = answer_calibration.answered(rt.text(model), asked)
    report = answer_calibration.report(answers)
    if as_json:
        print_json(report)
        return
    for line in answer_calibration.lines(report):
        typer.echo(line)
