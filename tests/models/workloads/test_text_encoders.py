"""Encoders' candidates on tiny models: what they are judged by is made, and bfloat16 is as good."""

from pathlib import Path

import pytest
import tiny_cross_encoders

from mmgen.models.encoders import cross_encoder, sentence_encoder
from mmgen.models.workloads.text_encoders import CrossEncoderWorkload, EncoderWorkload


@pytest.mark.parametrize("thorough", [False, True])
def test_sentence_encoder(tiny_encoder: Path, thorough: bool) -> None:
    workload = EncoderWorkload()
    assert workload.candidates(tiny_encoder) == ("fp32", "bf16", "int8")
    models = {name: sentence_encoder.load(tiny_encoder, precision=name) for name in ("fp32", "bf16")}
    for model in models.values():
        assert workload.takes(model)
        workload.run(model)
    exact, rounded = (list(workload.results(model, thorough)) for model in models.values())
    assert workload.judge(exact, rounded).figure.startswith("cosine 0.9999")
    assert not workload.judge(exact, [-one for one in exact]).accepted


def test_cross_encoder(tmp_path: Path) -> None:
    folder = tiny_cross_encoders.save(tmp_path)
    workload, model = CrossEncoderWorkload(), cross_encoder.load(folder, precision="bf16")
    workload.run(model)
    exact, rounded = (list(workload.results(one, False)) for one in (cross_encoder.load(folder), model))
    assert workload.takes(model) and not workload.takes(object())
    assert workload.judge(exact, exact).accepted and [len(one) for one in exact] == [len(one) for one in rounded] == [1, 12, 12]
    assert not workload.judge(exact, [one[::-1] for one in exact]).accepted
