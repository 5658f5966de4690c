"""What a folder says of how its weights are rounded, and one line for what is not read."""

import json
from pathlib import Path
from typing import Any

import pytest
import quantized_files
from quantized_files import rewrite
from safetensors.torch import load_file

from mmgen.errors import BadWeights
from mmgen.models.checkpoints.quantization_config import find
from mmgen.models.lm import language_model
from mmgen.models.quantization.formats.gptq import Awq, Gptq
from mmgen.models.quantization.formats.mlx import Mlx

GROUP = {"weights": {"num_bits": 4, "type": "int"}}


@pytest.mark.parametrize(
    "method", ["hqq", "quanto", "torchao", "eetq", "aqlm", "vptq", "quark", "spqr", "higgs", "bitnet", "new"]
)
def test_methods_that_are_not_read(tmp_path: Path, method: str) -> None:
    with pytest.raises(
        BadWeights, match=rf"has weights of quant_method {method}, which is not read; awq, gptq, .* a GGUF of it"
    ):
        find(tmp_path, {"quantization_config": {"quant_method": method}})


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ({"quant_method": "awq", "bits": 4, "version": "gemv"}, "awq in the version gemv of 4 bits"),
        ({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"}, "gptq in the form marlin"),
        ({"quant_method": "gptq", "bits": 4, "is_marlin_format": True}, "gptq in the form marlin"),
        ({"quant_method": "auto-round", "bits": 4, "packing_format": "auto_round"}, "auto-round in the form auto_round"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24", "config_groups": {"a": GROUP}}, "form marlin-24"),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": GROUP},
             "transform_config": {"config_groups": {"u": {}}}},
            "with transforms",
        ),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"a": GROUP},
             "sparsity_config": {"format": "sparse-24-bitmask"}},
            "sparse form sparse-24-bitmask",
        ),
        (
            {"quant_method": "compressed-tensors", "format": "pack-quantized",
             "config_groups": {"a": GROUP, "b": {"weights": {"num_bits": 8}}}},
            "of 4 and 8 bits at once",
        ),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "modelopt with quant_algo W4A8_AWQ"),
    ],
)  # fmt: skip
def test_variants_that_are_not_read(tmp_path: Path, told: dict[str, Any], what: str) -> None:
    with pytest.raises(BadWeights, match=what) as error:
        find(tmp_path, {"quantization_config": told})
    assert "take the model's original weights" in str(error.value) and "\n" not in str(error.value)


def test_a_configuration_that_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"quantization_config of gptq cannot be understood \(KeyError\('bits'\)\)"):
        find(tmp_path, {"quantization_config": {"quant_method": "gptq"}})
    assert find(tmp_path, {}) is None and find(tmp_path, {"quantization_config": None}) is None


def test_where_it_may_stand(tmp_path: Path) -> None:
    told = {"quant_method": "intel/auto-round", "bits": 4, "group_size": 64, "packing_format": "auto_round:auto_awq"}
    found = find(tmp_path, {"text_config": {"quantization_config": told}})
    assert found is not None and found.formats == (Awq(),)
    mixed = {"group_size": 64, "bits": 4, "mode": "affine", "lm_head": {"group_size": 32, "bits": 6}, "model.norm": False}
    found = find(tmp_path, {"quantization": mixed})
    assert found is not None and found.formats == (Mlx(64, {"lm_head": 32}),)
    (tmp_path / "quantize_config.json").write_text(json.dumps({"bits": 8, "group_size": 128, "desc_act": False}))
    found = find(tmp_path, {})
    assert found is not None and (found.method, found.formats) == ("gptq", (Gptq(8, 128),))
    (tmp_path / "quantize_config.json").unlink()
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    found = find(tmp_path, {})
    assert found is not None and found.method == "modelopt"


@pytest.mark.parametrize("kind", ["gptq", "awq", "float8-blocks", "nf4", "mlx", "packed-4", "bnb-int8"])
def test_rounded_weights_without_their_configuration(tmp_path: Path, kind: str) -> None:
    quantized_files.write(tmp_path, kind)
    values = json.loads((tmp_path / "config.json").read_text())
    rest = {key: value for key, value in values.items() if not key.startswith("quantization")}
    (tmp_path / "config.json").write_text(json.dumps(rest))
    with pytest.raises(
        BadWeights, match=r"holds rounded weights \(model\.layers.*\) but no quantization_config in its config\.json"
    ):
        language_model.load(tmp_path)


def test_the_older_file_beside_config_json(tmp_path: Path) -> None:
    quantized_files.write(tmp_path, "gptq")
    values = json.loads((tmp_path / "config.json").read_text())
    told = values.pop("quantization_config")
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "quantize_config.json").write_text(json.dumps({key: told[key] for key in ("bits", "group_size", "desc_act")}))
    rewrite(tmp_path, load_file(tmp_path / "model.safetensors"), {})
    language_model.load(tmp_path)
