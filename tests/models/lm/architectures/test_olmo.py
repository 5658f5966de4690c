"""OLMo and EXAONE: transformers' logits and tokens."""

import json
from pathlib import Path

import checkpoints
import pytest
from checkpoints import GROUPED, make
from decoder_checks import check

from mmgen.errors import BadWeights
from mmgen.models.lm import families

FOUR = {**GROUPED, "num_hidden_layers": 4}
YARN = {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 4.0, "original_max_position_embeddings": 32}
MAKERS: dict[str, checkpoints.Maker] = {
    "olmo2": make("Olmo2ForCausalLM", "Olmo2Config", GROUPED),
    "olmo3": make(
        "Olmo3ForCausalLM", "Olmo3Config", FOUR, sliding_window=8,
        rope_parameters={"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0}},
    ),
    "exaone4": make("Exaone4ForCausalLM", "Exaone4Config", FOUR, sliding_window=8, sliding_window_pattern=4),
    "exaone4-plain": make(
        "Exaone4ForCausalLM", "Exaone4Config", GROUPED, sliding_window=None, layer_types=["full_attention"] * 2
    ),
    "olmoe": make("OlmoeForCausalLM", "OlmoeConfig", GROUPED, num_experts=5, num_experts_per_tok=2),
}  # fmt: skip


@pytest.mark.parametrize("name", MAKERS)
def test_as_transformers(name: str, tmp_path: Path) -> None:
    check(MAKERS[name], tmp_path)


def test_older_spelling_of_rope(tmp_path: Path) -> None:
    """As Ai2's own files have it: one scaling, which layers with a window do not have."""
    checkpoints.saved(MAKERS["olmo3"], tmp_path)
    expected = families.shape(tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    told = values.pop("rope_parameters")["full_attention"]
    path.write_text(json.dumps({**values, "rope_theta": told.pop("rope_theta"), "rope_scaling": told}))
    assert families.shape(tmp_path) == expected and expected.rope_scaling is not None


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("olmo2", {"clip_qkv": 8.0}, r"clip_qkv 8\.0, which our attention has not"),
        ("exaone4", {"sliding_window_pattern": "LLLG"}, "'LLLG' without layer_types"),
    ],
)
def test_what_ours_has_not(name: str, values: dict[str, object], message: str) -> None:
    config = {key: value for key, value in MAKERS[name]().config.to_dict().items() if key != "layer_types"}
    with pytest.raises(BadWeights, match=message):
        families.FAMILIES[name].shape({**config, **values})
