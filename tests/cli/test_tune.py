"""`mmgen tune` measures again, prints every candidate and keeps the choice, which `mmgen doctor` then lists."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmgen import hub
from mmgen.cli import doctor
from mmgen.models.tuning import tuner
from mmgen.models.tuning.timing import Lap, Timings


@pytest.fixture(autouse=True)
def given_laps(monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 takes half the time of whatever else there is."""

    def laps(passes: Any, ends: float) -> Timings:
        seconds = {name: 0.5 if name == "bf16" else 1.0 for name in passes}
        return Timings({name: [Lap(took, took)] * 9 for name, took in seconds.items()})

    monkeypatch.setattr(tuner, "interleaved", laps)


def test_a_table_and_a_choice(tiny_encoder: Path, call: Callable[..., Any], home: Path) -> None:
    done = call("tune", str(tiny_encoder))
    out = done.out
    assert f"{tiny_encoder}" in out and "fp32" in out and "chosen (cosine 0.9999" in out and "accepted (the reference)" in out
    assert f"{tiny_encoder} runs in bf16: 500.0 ms a pass against 1000.0" in out
    (found,) = [one for one in doctor.precision() if one.about == str(tiny_encoder)]
    assert found.status == "ok" and found.found.startswith("bf16: 500.0 ms")
    (kept,) = (home / "precision").iterdir()
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"key": {"torch": "1.0"}, "settled": False}))
    (found,) = [one for one in doctor.precision() if one.about == str(tiny_encoder)]
    assert found.status == "note" and "under another torch" in found.remedy


def test_what_cannot_be_tuned(tiny_encoder: Path, call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    refused = call("tune", f"{tiny_encoder}#int8")
    assert refused.code == 2 and "names its precision already" in refused.err
    monkeypatch.setattr(hub, "kind_of", lambda folder: "upscaler")
    assert "one precision here" in call("tune", str(tiny_encoder)).err
