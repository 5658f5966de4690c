"""Names of weight files: which belong together, and which of them are read."""

import json
from pathlib import Path

import pytest

from mmgen.errors import BadWeights
from mmgen.weight_sets import WeightSet, best, in_folder, is_weights, sets

SHARDS = {
    "plain": ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
    "fp16 before": ["model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"],
    "fp16 behind": ["model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"],
    "older": ["model.safetensors-00001-of-00002.safetensors", "model.safetensors-00002-of-00002.safetensors"],
}
INDICES = {
    "plain": "model.safetensors.index.json",
    "fp16 before": "model.safetensors.index.fp16.json",
    "fp16 behind": "model.fp16.safetensors.index.json",
    "older": "model.safetensors.index.json",
}


@pytest.mark.parametrize("kind", list(SHARDS))
@pytest.mark.parametrize("indexed", [True, False])
def test_shards_of_every_spelling(kind: str, indexed: bool) -> None:
    index = INDICES[kind] if indexed else ""
    (found,) = sets([*SHARDS[kind], *([index] if indexed else []), "config.json", "tokenizer.json"])
    assert (found.stem, found.variant) == ("model", "fp16" if "fp16" in kind else "")
    assert found == WeightSet(found.stem, found.variant, tuple(SHARDS[kind]), index) and found.whole
    assert found.plain == (kind in ("plain", "older") and indexed)


@pytest.mark.parametrize("kind", list(SHARDS))
def test_a_missing_shard_is_named(kind: str) -> None:
    first, second = SHARDS[kind]
    (found,) = sets([second])
    assert found.missing == (first,) and not found.whole


def test_what_is_whole_goes_before_what_is_plain() -> None:
    names = [SHARDS["plain"][0], *SHARDS["fp16 behind"], INDICES["plain"]]
    assert [(one.variant, one.whole) for one in sets(names)] == [("fp16", True), ("", False)]
    chosen = best(sets([*names, "model.safetensors", "consolidated.safetensors"]))
    assert chosen is not None and chosen.files == ("model.safetensors",)


def test_stems_and_variants() -> None:
    names = [
        "consolidated.safetensors",
        "diffusion_pytorch_model.non_ema.safetensors",
        "diffusion_pytorch_model.fp16.safetensors",
    ]
    assert [one.files[0] for one in sets(names)] == [names[2], names[1], names[0]]
    chosen = best(sets(names), variant="non_ema")
    assert chosen is not None and chosen.files == (names[1],)
    assert best(sets(["open_clip_model.safetensors", "model.safetensors"]), "open_clip_model") == WeightSet(
        "open_clip_model", files=("open_clip_model.safetensors",)
    )


def test_other_names() -> None:
    only = best(sets(["v1-5-pruned.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.safetensors"]))
    assert only is not None and only.stem == "v1-5-pruned"
    assert best(sets(["one.safetensors", "two.safetensors"])) is None and best(sets(["config.json"])) is None
    assert is_weights("model.fp16.safetensors") and not is_weights("generation_config.json")


def test_an_index_names_its_shards(tmp_path: Path) -> None:
    """Whatever they are called."""
    for name in ("part-a.safetensors", "part-b.safetensors"):
        (tmp_path / name).touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"x": "part-a.safetensors", "y": "part-b.safetensors", "z": "part-c.safetensors"}})
    )
    found = in_folder(tmp_path)
    assert found is not None and found.files == ("part-a.safetensors", "part-b.safetensors")
    assert found.missing == ("part-c.safetensors",)
    index.write_text("[]")
    with pytest.raises(BadWeights, match=r"index\.json is damaged"):
        in_folder(tmp_path)
    assert best(sets(["model.safetensors.index.json", "weights1.safetensors", "weights2.safetensors"])) == WeightSet(
        "model", index="model.safetensors.index.json"
    )
