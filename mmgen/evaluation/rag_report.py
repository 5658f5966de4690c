"""An evaluation as one HTML page: figures, plots and every question, alone or beside another run. Needs no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

from mmgen.evaluation import rag_figures
from mmgen.evaluation.rag_figures import Figures
from mmgen.evaluation.rag_outcomes import RagOutcome
from mmgen.training.eval.qa_metrics import reliability

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
body { color: #1a1a1a; background: #fff }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .25rem .7rem; text-align: left; border-bottom: 1px solid #ddd; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.wrong { color: #b00020 } .right { color: #14692a } .none { color: #666 }
img { max-width: 100%; height: auto } summary { cursor: pointer }
@media (prefers-color-scheme: dark) {
  body { background: #16181c; color: #e8e8e8 } td, th { border-color: #3a3d44 } img { background: #fff }
  .wrong { color: #ff8a93 } .right { color: #7fd596 } .none { color: #aaa }
}"""

WITHOUT_PLOTS = "no plots: they need matplotlib; pip install 'mmgen[train]'"


@dataclass(frozen=True)
class RagRun:
    """A finished run."""

    name: str
    settings: Mapping[str, Any]
    outcomes: Sequence[RagOutcome]

    @property
    def figures(self) -> Figures:
        return rag_figures.of(self.outcomes, int(self.settings["k"]))


def table(run: RagRun, other: RagRun | None = None) -> list[list[str]]:
    """Rows of name and value; beside another run also its value, and where each question has one the difference."""
    ours, theirs = run.figures, other.figures if other else {}
    rows = []
    for name in dict.fromkeys([*ours, *theirs]):
        row = [name, shown(name, ours.get(name))]
        if other:
            row += [shown(name, theirs.get(name)), _difference(name, run, other)]
        rows.append(row)
    return rows


def shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("questions", "answerable"):
        return f"{value:.0f}"
    return f"{value:.0f} ms" if name.startswith("ms ") else f"{value:.3f}"


def html(run: RagRun, other: RagRun | None = None) -> str:
    runs = [run, *([other] if other else [])]
    head = ["", *(escape(one.name) for one in runs), *(["difference (95% interval)"] if other else [])]
    changed = [name for name in run.settings if other and run.settings[name] != other.settings.get(name)]
    settings = "".join(
        f"<tr><td>{escape(name)}</td>" + "".join(f"<td>{escape(str(one.settings.get(name)))}</td>" for one in runs) + "</tr>"
        for name in (changed or run.settings)
        if name != "questions"
    )
    figures = "".join(
        f"<tr><td>{escape(row[0])}</td>" + "".join(f'<td class="n">{escape(cell)}</td>' for cell in row[1:]) + "</tr>"
        for row in table(run, other)
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(run.name)}: answers from documents</title><style>{STYLE}</style>"
        f"<h1>{escape(run.name)}{' beside ' + escape(other.name) if other else ''}</h1>"
        f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{figures}</table>"
        f"{_plots(runs) if find_spec('matplotlib') else f'<p>{escape(WITHOUT_PLOTS)}</p>'}"
        f"<details><summary>{'Settings that differ' if changed else 'Settings'}</summary><table>{settings}</table></details>"
        f"<h2>Questions</h2><table><tr><th>question</th>"
        + "".join(f"<th>{escape(one.name)}</th><th>confidence</th><th>first relevant</th>" for one in runs)
        + f"</tr>{_questions(runs)}</table></html>\n"
    )


def _difference(name: str, run: RagRun, other: RagRun) -> str:
    values = {
        "EM": lambda one: 0.0 if one.abstained else one.exact,
        "F1": lambda one: 0.0 if one.abstained else one.f1,
        f"hit@{run.settings['k']}": lambda one: float(bool(one.relevant)),
        f"MRR@{run.settings['k']}": lambda one: 1 / one.relevant[0] if one.relevant else 0.0,
    }
    if name not in values or run.settings["k"] != other.settings["k"]:
        return ""
    ours, theirs = ([one for one in each.outcomes if one.answerable] for each in (run, other))
    if not {one.question for one in ours} & {one.question for one in theirs}:
        return ""
    mean, low, high = rag_figures.difference(ours, theirs, values[name])
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _questions(runs: Sequence[RagRun]) -> str:
    others = [{one.question: one for one in run.outcomes} for run in runs[1:]]
    return "".join(
        f"<tr><td>{escape(one.question)}{'' if one.answerable else ' <small>(not in the documents)</small>'}</td>"
        + "".join(map(_cells, [one, *(other.get(one.question) for other in others)]))
        + "</tr>"
        for one in runs[0].outcomes
    )


def _cells(one: RagOutcome | None) -> str:
    if one is None:
        return "<td>-</td><td></td><td></td>"
    kind = "none" if one.abstained and one.answerable else "right" if _good(one) else "wrong"
    rank = str(one.relevant[0]) if one.relevant else "-"
    return f'<td class="{kind}">{escape(one.text)}</td><td class="n">{one.confidence:.2f}</td><td class="n">{rank}</td>'


def _good(one: RagOutcome) -> bool:
    return one.abstained if not one.answerable else rag_figures.right(one) > 0


def _plots(runs: Sequence[RagRun]) -> str:
    """Reliability and risk-coverage of all runs, within the page."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for run in runs:
        bins = reliability([one.confidence for one in run.outcomes], [rag_figures.right(one) for one in run.outcomes])
        left.plot([confidence for confidence, _, _ in bins], [share for _, share, _ in bins], marker="o", label=run.name)
        curve = rag_figures.risk_coverage(run.outcomes)
        right.plot([covered for covered, _ in curve], [risk for _, risk in curve], label=run.name)
    left.set(xlabel="confidence", ylabel="share right", xlim=(0, 1), ylim=(0, 1), title="Reliability")
    right.set(xlabel="share answered", ylabel="share wrong", xlim=(0, 1), ylim=(0, 1), title="Risk and coverage")
    right.legend()
    figure.tight_layout()
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    plt.close(figure)
    alt = "Reliability: share right by confidence; risk: share wrong by share answered"
    return f'<img alt="{alt}" src="data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}">'
