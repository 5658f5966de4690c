"""`mmgen rag eval` over the tiny models: figures, a report, a run that goes on, and one beside another."""

import json
from pathlib import Path

import pytest
from cli_call import Call

QUESTIONS = [
    {"question": "Who is red?", "answers": ["lamp"]},
    {"question": "Where is the lamp?", "answers": ["sea"], "documents": ["lamp.txt"]},
    {"question": "What is the <b>price</b>?", "answers": []},
]


@pytest.fixture
def questions(tiny_home: Path, tmp_path: Path, call: Call) -> Path:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "lamp.txt").write_text("The lamp is red. It stands by the sea.")
    (notes / "tea.txt").write_text("Tea is green.")
    assert call("rag", "add", notes).code == 0
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, QUESTIONS)))
    return path


def test_figures_and_a_report(questions: Path, tmp_path: Path, call: Call) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    table = call("rag", "eval", questions, "--out", first, "--threshold", "0").out
    assert "hit@5" in table and "AUROC answerable" in table and f"report: {first / 'report.html'}" in table
    beside = call("rag", "eval", questions, "--out", second, "--against", first)
    assert beside.code == 0 and "(" in next(line for line in beside.out.splitlines() if line.startswith("MRR@5"))
    told = json.loads(call("rag", "eval", questions, "--out", second, "--against", first, "--json").out)
    assert told["figures"]["questions"] == told["against"]["questions"] == 3 and told["against"]["hit@5"] == 1.0
    page = (second / "report.html").read_text()
    assert "second beside first" in page and "What is the &lt;b&gt;price&lt;/b&gt;?" in page
    assert "data:image/png;base64," in page and "<b>price" not in page and 'src="http' not in page


def test_a_run_goes_on(questions: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "run"
    arguments = ("rag", "eval", questions, "--out", out, "--json")
    assert call(*arguments).code == 0
    whole = (out / "results.jsonl").read_text().splitlines(keepends=True)
    changed = json.loads(whole[0])
    changed["milliseconds"]["total"] = 12345.0
    (out / "results.jsonl").write_text(json.dumps(changed) + "\n" + whole[1][:40])
    assert call(*arguments).code == 0
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [line["question"] for line in lines] == [one["question"] for one in QUESTIONS]
    assert lines[0]["milliseconds"]["total"] == 12345.0, "what was there is not asked again"
    other = call(*arguments, "-k", "2")
    assert other.code == 2 and "holds a run with k=5, not 2; give another --out" in other.err
    questions.write_text(json.dumps(QUESTIONS[0]))
    assert "holds a run with other questions; give another --out" in call(*arguments).err


def test_without_matplotlib_the_report_has_no_plots(
    questions: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mmgen.cli.training.rag_eval", "mmgen.evaluation.rag_report"):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)
    answer = call("rag", "eval", questions, "--out", tmp_path / "plain")
    assert answer.code == 0 and "no plots: they need matplotlib; pip install 'mmgen[train]'" in answer.err
    assert "no plots" in (tmp_path / "plain" / "report.html").read_text()


def test_no_run_to_compare_with(questions: Path, tmp_path: Path, call: Call) -> None:
    answer = call("rag", "eval", questions, "--out", tmp_path / "a", "--against", tmp_path / "none")
    assert answer.code == 2 and "holds no evaluation; give the --out of an earlier `mmgen rag eval`" in answer.err
