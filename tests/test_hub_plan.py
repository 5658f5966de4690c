"""What is fetched of well-known repositories, by lists of their files: every model once, and nothing for other programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from mmgen import hub_plan

LISTS = Path(__file__).parent / "fixtures" / "hub"


def listed(name: str) -> tuple[dict[str, int], dict[str, Any] | None]:
    """Names and sizes of its files, and its model_index.json."""
    told = json.loads((LISTS / f"{name}.json").read_text())
    return told["files"], told.get("model_index")


def plan(name: str, variant: str = "") -> tuple[list[str], float]:
    """Weights, and gigabytes of all that is fetched."""
    files, index = listed(name)
    weights = hub_plan.weights(files, index, variant)
    return weights, sum(files[one] for one in {*weights, *hub_plan.small(files)}) / 1e9


@pytest.mark.parametrize(
    ("name", "variant", "gigabytes", "count"),
    [
        ("sdxl-base-1.0", "", 13.9, 4),
        ("sdxl-base-1.0", "fp16", 6.9, 4),
        ("stable-diffusion-v1-5", "", 4.3, 3),
        ("stable-diffusion-v1-5", "fp16", 2.1, 3),
        ("flux.1-dev", "", 33.7, 9),
        ("mistral-7b-instruct-v0.3", "", 14.5, 4),
        ("mistral-7b-instruct-v0.3", "fp16", 14.5, 4),
        ("qwen2.5-vl-7b-instruct", "", 16.6, 6),
        ("all-minilm-l6-v2", "", 0.09, 1),
        ("qwen2.5-7b-instruct-gguf", "", 0.0, 0),
    ],
)
def test_how_much_is_fetched(name: str, variant: str, gigabytes: float, count: int) -> None:
    weights, found = plan(name, variant)
    assert found == pytest.approx(gigabytes, abs=0.06) and len(weights) == count


def test_one_variant_of_each_part() -> None:
    assert plan("sdxl-base-1.0", "fp16")[0] == [
        "text_encoder/model.fp16.safetensors", "text_encoder_2/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.fp16.safetensors",
    ]  # fmt: skip
    assert not any("non_ema" in one or "safety" in one for one in plan("stable-diffusion-v1-5")[0])


def test_shards_come_with_their_index_and_without_their_copy() -> None:
    shards = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
    assert plan("mistral-7b-instruct-v0.3")[0] == [*shards, "model.safetensors.index.json"]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("mistral-7b-instruct-v0.3", ["config.json", "params.json", "tokenizer.json", "tokenizer.model", "tokenizer.model.v3"]),
        ("qwen2.5-vl-7b-instruct", ["chat_template.json", "preprocessor_config.json", "merges.txt", "vocab.json"]),
        ("all-minilm-l6-v2", ["1_Pooling/config.json", "modules.json", "vocab.txt", "sentence_bert_config.json"]),
        ("flux.1-dev", ["model_index.json", "scheduler/scheduler_config.json", "tokenizer_2/spiece.model"]),
    ],
)
def test_configurations_and_tokenizers(name: str, wanted: list[str]) -> None:
    found = hub_plan.small(listed(name)[0])
    assert set(wanted) <= set(found)
    assert not any(one.endswith((".safetensors", ".bin", ".onnx", ".index.json", ".msgpack", ".xml", ".png")) for one in found)


def test_other_layouts() -> None:
    assert hub_plan.weights(["consolidated.safetensors", "params.json"]) == ["consolidated.safetensors"]
    layers = ["modules.json", "model.safetensors", "2_Dense/model.safetensors", "2_Dense/config.json", "onnx/model.safetensors"]
    assert hub_plan.weights(layers) == ["2_Dense/model.safetensors", "model.safetensors"]
    assert hub_plan.weights(["adapter_config.json", "adapter_model.safetensors"]) == ["adapter_model.safetensors"]
    assert hub_plan.weights(["a.safetensors", "b.safetensors"]) == ["a.safetensors", "b.safetensors"]
    odd = ["model.safetensors.index.json", "part1.safetensors", "part2.safetensors"]
    assert hub_plan.weights(odd) == odd, "only the index knows which belong together"
    both = ["model.safetensors", "open_clip_model.safetensors", "open_clip_config.json", "pytorch_model.bin"]
    assert hub_plan.weights(both) == both[:2]
    ours = ["mmgen.json", "unet/diffusion_pytorch_model.safetensors", "upscaler/model.safetensors"]
    assert hub_plan.weights(ours) == ours[1:]
    assert hub_plan.weights(["checkpoint-500/model.safetensors", "model.safetensors"]) == ["model.safetensors"]


def test_folders_for_other_programs() -> None:
    names = ["onnx/config.json", "checkpoint-500/config.json", ".git/config.json", "a/b/c/config.json", "vae_onnx/config.json"]
    assert hub_plan.small([*names, "additional_chat_templates/tool_use.jinja"]) == ["additional_chat_templates/tool_use.jinja"]
