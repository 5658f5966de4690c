"""Readers' candidates: the published one first, and answers decide."""

import json
from pathlib import Path

import numpy as np
import pytest

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.quantization import int8
from mmgen.models.reader.model import ReaderModel
from mmgen.models.workloads.readers import FEW, QUESTIONS, ReaderWorkload


def test_each_passage_has_its_answer() -> None:
    assert all(answer in passage for passage, _, answer in QUESTIONS) and FEW % 2 == 0


def test_a_tiny_reader(tiny_reader: Path) -> None:
    workload = ReaderWorkload()
    assert hub.kind_of(tiny_reader) == "reader"
    assert workload.candidates(tiny_reader)[0] == json.loads((tiny_reader / "config.json").read_text()).get(
        "activations", "fp32"
    )
    exact, rounded = (ReaderModel.load(tiny_reader, precision=name) for name in ("fp32", "bf16"))
    workload.run(exact)
    reference = list(workload.results(exact, False))
    assert workload.takes(exact) and not workload.takes(object())
    assert sum(map(len, reference)) == FEW + 1
    assert workload.judge(reference, reference).accepted
    assert workload.judge(reference, list(workload.results(rounded, False))).figure.startswith("F1 ")
    off = [one + np.array([[0.0, 9.0]]) for one in reference]
    assert not workload.judge(reference, off).accepted


def test_what_a_reader_was_published_with_is_safe(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"activations": "int8"}')
    rest = ("bf16", "fp32") if int8.MOST == 127 else ("int8", "bf16")
    assert ReaderWorkload().candidates(tmp_path) == (int8.as_published("int8"), *rest)
    config.write_text('{"activations": "int3"}')
    with pytest.raises(BadWeights, match="int3"):
        ReaderWorkload().candidates(tmp_path)
