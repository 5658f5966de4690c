"""LoRA files in three dialects: the weights and predictions they give, and one clear line for what is none."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_images as tiny
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.diffusion import lora
from mmgen.models.diffusion.denoiser import DenoiserModel

RANK, ALPHA = 2, 6.0
LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("sd"))


def factors() -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    return torch.randn(RANK, 16), torch.randn(16, RANK)


def weight(model: DenoiserModel) -> Tensor:
    return model.unet.get_submodule(LAYER).weight.detach().clone()


def expect_merged(folder: Path, path: Path, scale: float) -> None:
    """W + scale * alpha / r * B A in that layer, and nothing of PEFT left in the UNet."""
    down, up = factors()
    model = DenoiserModel.load(folder)
    before, names = weight(model), [name for name, _ in model.unet.named_parameters()]
    lora.apply(model, path, scale)
    torch.testing.assert_close(weight(model), before + scale * ALPHA / RANK * up @ down)
    assert [name for name, _ in model.unet.named_parameters()] == names
    lora.apply(model, path, -scale)
    torch.testing.assert_close(weight(model), before, atol=1e-5, rtol=0)


def test_kohya(folder: Path, tmp_path: Path) -> None:
    down, up = factors()
    name, path = f"lora_unet_{LAYER.replace('.', '_')}", tmp_path / "kohya.safetensors"
    save_file({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(ALPHA)}, path)
    expect_merged(folder, path, 0.5)


def test_peft(folder: Path, tmp_path: Path) -> None:
    down, up = factors()
    name = f"base_model.model.{LAYER}"
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    expect_merged(folder, tmp_path, 0.7)


def adapter(module: Any, targets: list[str]) -> dict[str, Tensor]:
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=targets, init_lora_weights=False)
    module.add_adapter(config)
    return get_peft_model_state_dict(module)


def test_diffusers_with_text_encoder(folder: Path, tmp_path: Path) -> None:
    """What diffusers saved acts on prompt and prediction as it does in diffusers."""
    torch.manual_seed(6)
    made = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    layers = {"unet_lora_layers": adapter(made.unet, ["to_q", "to_out.0"])}
    layers["text_encoder_lora_layers"] = adapter(made.text_encoder, ["q_proj", "v_proj"])
    StableDiffusionPipeline.save_lora_weights(tmp_path, **layers)

    theirs = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    theirs.load_lora_weights(str(tmp_path), adapter_name="x")
    theirs.set_adapters("x", 0.8)
    plain, model = DenoiserModel.load(folder), DenoiserModel.load(folder)
    lora.apply(model, tmp_path / "pytorch_lora_weights.safetensors", 0.8)

    tokens = theirs.encode_prompt("a cat", "cpu", 1, False)[0]
    conditions = model.embed_prompts(["a cat"])
    torch.testing.assert_close(conditions[0].tokens, tokens[0], atol=1e-4, rtol=0)
    x, timesteps = torch.randn(1, 4, 8, 8), torch.tensor([400.0])
    with torch.inference_mode():
        expected = theirs.unet(x, timesteps, encoder_hidden_states=tokens).sample
    out = model.predict(x, timesteps, conditions)
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)
    assert (out - plain.predict(x, timesteps, plain.embed_prompts(["a cat"]))).abs().max() > 1e-3


def test_files_that_are_no_lora_for_it(folder: Path, tmp_path: Path) -> None:
    model = DenoiserModel.load(folder, name="sd")
    before = weight(model)
    with pytest.raises(BadWeights, match=r"cat\.pt is not a safetensors file; a pickle can run code"):
        lora.apply(model, tmp_path / "cat.pt")
    with pytest.raises(BadWeights, match=r"has no gone\.safetensors"):
        lora.apply(model, tmp_path / "gone.safetensors")
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"rubbish")
    with pytest.raises(BadWeights, match=r"other\.safetensors is damaged"):
        lora.apply(model, path)
    save_file({"transformer.blocks.0.lora_A.weight": torch.zeros(2, 4)}, path)
    with pytest.raises(BadWeights, match="names no layer of sd"):
        lora.apply(model, path)
    name = f"unet.{LAYER}"
    save_file({f"{name}.lora_A.weight": torch.zeros(2, 99), f"{name}.lora_B.weight": torch.zeros(16, 2)}, path)
    with pytest.raises(BadWeights, match="does not fit sd"):
        lora.apply(model, path)
    name = "unet.down_blocks.7.to_k"
    save_file({f"{name}.lora_A.weight": torch.zeros(2, 16), f"{name}.lora_B.weight": torch.zeros(16, 2)}, path)
    with pytest.raises(BadWeights, match="does not fit sd"):
        lora.apply(model, path)
    assert torch.equal(weight(model), before)
    assert not any("lora" in name for name, _ in model.unet.named_parameters())
    with pytest.raises(BadRequest, match="LoRA scale is nan"):
        lora.apply(model, path, float("nan"))


def test_an_unconditional_model_takes_none(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="unconditional UNet"):
        lora.apply(DenoiserModel.load(tiny.unconditional(tmp_path)), tmp_path / "x.safetensors")
