"""Means of the last steps a line, notes between them, and a plot."""

import json
from pathlib import Path

import torch

from mmgen.training.run_log import RunLog


def test_a_line_is_the_mean_of_its_steps(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 4, seconds=100.0, every=2, unit="rows", of_speed=lambda rows: {"doubled": 2 * rows})
    for step, loss in enumerate((1.0, 3.0, 5.0)):
        log.add(step, {"loss": torch.tensor(loss)}, 8, 0.1)
    log.note(3, {"validation": 0.123456})
    first, second = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first["step"] == 2 and first["loss"] == 2.0 and first["of"] == 4 and first["seconds"] >= 100
    assert first["doubled"] == 2 * first["rows_per_second"]
    assert second == {"step": 3, "validation": 0.1235}
    log.plot(["loss", "validation"], "nats")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
