from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mmgen.config import assets_dir
from mmgen.errors import BadRequest, UnreadableFile
from mmgen.training.recipes import router


def test_examples_are_not_the_requests_that_measure_it() -> None:
    shipped = router.examples(assets_dir() / "router" / "examples.tsv")
    measured = router.examples(Path(__file__).parents[3] / "benchmarks" / "router_requests.tsv")
    assert len(measured) == 200
    assert not {text.lower() for _, text in shipped} & {text.lower() for _, text in measured}


def test_train(tmp_path: Path) -> None:
    data = tmp_path / "data.tsv"
    data.write_text("tool\trequest\ndraw\tpaint\nnone\thi\n")
    encoder: Any = SimpleNamespace(embed_text=lambda texts: np.eye(2, dtype=np.float32)[: len(texts)])
    made = router.train(SimpleNamespace(encoder=lambda name: encoder), data, tmp_path / "out.safetensors")  # type: ignore[arg-type]
    assert made.classes == ("draw", "none") and (tmp_path / "out.safetensors").is_file()


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("tool\trequest\nno tab here\n")
    with pytest.raises(BadRequest, match="line 2 has 1 columns"):
        router.examples(tmp_path / "x")
    with pytest.raises(UnreadableFile):
        router.examples(tmp_path / "absent")
