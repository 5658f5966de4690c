"""The check of a GPU: what its report says, and, slowly, that all of its parts work on a CPU in their small form."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu_check.report import Row, RowWriter, markdown, read

ROOT = Path(__file__).parents[1]


def test_rows_become_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = RowWriter("memory", tmp_path / "rows.jsonl")
    out.add("ledger", "12 MiB")
    out.add("the same | after it", "", good=False)
    rows = read(tmp_path / "rows.jsonl")
    assert rows == [Row("memory", "ledger", "12 MiB"), Row("memory", "the same | after it", "", False)]
    report = markdown(rows, "A card", 3.2, small=True)
    assert "## Memory" in report and "| the same \\| after it |  | **failed** |" in report
    assert report.endswith("0 checks held, 1 failed.\n") and "its figures say nothing" in report
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.slow
def test_every_part_works_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--small", "--minutes", "30"]
    done = subprocess.run([*command, "--report", str(tmp_path / "report.md")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = (tmp_path / "report.md").read_text()
    parts = ("Machine", "Correctness", "Batches", "Decoding", "Denoising", "Packed", "Memory", "Mixed", "Training")
    assert all(f"## {part}\n" in report for part in parts), report
    assert "the part itself" not in report and "not done within" not in report, report
