"""GLM: transformers' logits and tokens."""

from pathlib import Path

import pytest
from checkpoints import GROUPED, make, rope
from decoder_checks import check

HALF = {**GROUPED, "head_dim": 16, **rope(partial_rotary_factor=0.5)}


@pytest.mark.parametrize("name", ["Glm", "Glm4"])
def test_as_transformers(name: str, tmp_path: Path) -> None:
    check(make(f"{name}ForCausalLM", f"{name}Config", HALF, rms_norm_eps=1e-5), tmp_path)
