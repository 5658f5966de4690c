"""Language models inside checkpoints that read images: transformers' logits and tokens, under every spelling of the names."""

import json
import logging
from pathlib import Path
from typing import Any

import checkpoints
import peft
import pytest
import torch
import transformers
from checkpoints import GROUPED, rope
from decoder_checks import assert_close, check
from safetensors.torch import load_file, save_file

from mmgen.errors import BadWeights
from mmgen.models.lm import families, language_model, lora_files
from mmgen.models.lm.adapters import peft_files
from mmgen.models.lm.lora import Adapters

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 14,
    "image_size": 28,
}
GEMMA = {
    **GROUPED, "head_dim": 32, "sliding_window": 8, "query_pre_attn_scalar": 20,
    "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip
MINISTRAL = {
    **GROUPED,
    "head_dim": 16,
    **rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=32, llama_4_scaling_beta=0.1),
}


def gemma3() -> Any:
    text, vision = transformers.Gemma3TextConfig(**GEMMA), transformers.SiglipVisionConfig(**TINY)
    config = transformers.Gemma3Config(text_config=text.to_dict(), vision_config=vision.to_dict(), mm_tokens_per_image=4)
    return transformers.Gemma3ForConditionalGeneration(config)


def mistral3(kind: str = "Ministral3") -> Any:
    text = getattr(transformers, f"{kind}Config")(**(MINISTRAL if kind == "Ministral3" else {**GROUPED, "head_dim": 16}))
    vision = transformers.PixtralVisionConfig(**TINY)
    return transformers.Mistral3ForConditionalGeneration(
        transformers.Mistral3Config(text_config=text.to_dict(), vision_config=vision.to_dict())
    )


@pytest.mark.parametrize(
    ("maker", "fused"),
    [(gemma3, False), (mistral3, True), (lambda: mistral3("Mistral"), True)],
    ids=["gemma", "ministral", "mistral"],
)
def test_as_transformers(maker: checkpoints.Maker, fused: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        check(maker, tmp_path, fused)
    assert "tensors that read images are left out; this model writes text alone" in caplog.text


@pytest.mark.parametrize("begin", ["language_model.model.", "model.language_model.", "language_model."])
def test_every_spelling(begin: str, tmp_path: Path) -> None:
    theirs = checkpoints.saved(mistral3, tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    old = "language_model.model."
    assert any(name.startswith(old) for name in tensors)
    save_file({begin + name.removeprefix(old) if name.startswith(old) else name: one for name, one in tensors.items()}, path)
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        assert_close(theirs(input_ids=ids).logits, language_model.load(tmp_path)(ids))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft calls what transformers deprecates
def test_an_adapter_of_the_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its layers that read images are left out, and named."""
    checkpoints.saved(gemma3, tmp_path / "base")
    whole = transformers.Gemma3ForConditionalGeneration.from_pretrained(tmp_path / "base")
    torch.manual_seed(0)
    theirs = peft.get_peft_model(
        whole, peft.LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    ).eval()
    theirs.save_pretrained(str(tmp_path / "adapter"))
    lm, ids = language_model.load(tmp_path / "base"), torch.arange(3, 20)[None]
    adapters = Adapters(lm, lora_files.names_of(tmp_path / "base", lm))
    peft_files.load(adapters, "a", tmp_path / "adapter")
    assert "vision_tower" in caplog.text and "are left out, which read images" in caplog.text
    with torch.inference_mode(), adapters.use("a"):
        assert_close(theirs(input_ids=ids).logits, lm(ids))


def test_a_text_of_another_kind() -> None:
    values = mistral3().config.to_dict()
    values["text_config"]["model_type"] = "qwen2"
    with pytest.raises(BadWeights, match="a text model of the architecture qwen2; there are mistral, ministral3"):
        families.FAMILIES["mistral3"].shape(values)


def test_keys_that_files_leave_out(tmp_path: Path) -> None:
    """Google's text_config says a few keys alone; the rest are the library's own defaults."""
    told = {"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34}
    values = {**told, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": values}))
    full = transformers.Gemma3TextConfig(**values)
    full.save_pretrained(tmp_path / "full")
    assert families.shape(tmp_path) == families.shape(tmp_path / "full")
