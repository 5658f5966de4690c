"""Checkpoints that give no dense vector a text are refused by name, and none is averaged in silence."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import tiny_sentences as tiny

from mmgen.errors import BadWeights
from mmgen.models.encoders.kinds import check, first_folder


def write(folder: Path, modules: list[str] | None = None, saved: str = "", **config: Any) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    if modules is not None:
        steps = [{"idx": n, "name": str(n), "path": f"{n}_x", "type": step} for n, step in enumerate(modules)]
        (folder / "modules.json").write_text(json.dumps(steps))
    if saved:
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"model_type": saved}))
    return folder


TRANSFORMER = "sentence_transformers.models.Transformer"


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"modules": [TRANSFORMER, "sentence_transformers.sparse_encoder.models.SpladePooling"]}, "sparse vectors"),
        ({"modules": [TRANSFORMER], "saved": "SparseEncoder"}, "sparse vectors"),
        ({"architectures": ["DistilBertForMaskedLMSplade"]}, "sparse vectors"),
        ({"modules": [TRANSFORMER], "saved": "MultiVectorEncoder"}, "a vector for every token"),
        ({"architectures": ["HF_ColBERT"]}, "a vector for every token"),
        ({"modules": [TRANSFORMER, "pylate.models.Dense.Dense"]}, "a vector for every token"),
        ({"modules": ["custom_st.Transformer"]}, "needs custom_st.Transformer, code that comes with it"),
        ({"architectures": ["BertForSequenceClassification"]}, "is a cross-encoder"),
    ],
)
def test_refused(tmp_path: Path, case: dict[str, Any], message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        check(write(tmp_path / "m", **case))


def test_a_mean_that_nobody_asked_for_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(write(tmp_path / "m", architectures=["BertForMaskedLM"]))
    assert "does not say how its tokens become one vector" in caplog.text


def test_a_sentence_encoder_passes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny.save(tmp_path)
    check(tmp_path / "whole")
    assert "one vector" not in caplog.text and first_folder(tmp_path / "whole") == ""
    (tmp_path / "whole" / "modules.json").write_text('{"type": 1}')
    with pytest.raises(BadWeights, match=r"modules\.json cannot be read"):
        check(tmp_path / "whole")
