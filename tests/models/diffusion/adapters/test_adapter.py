"""LoRA files of every producer on a tiny Stable Diffusion: W + scale * alpha / r * B A, and one clear line for what is none."""

import json
from collections.abc import Callable
from pathlib import Path

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
from mmgen.models.diffusion.adapters import lora_file
from mmgen.models.diffusion.denoiser import DenoiserModel

LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
TEXT = "encoder.layers.1.self_attn.out_proj"
ORIGINAL = "input_blocks.3.1.transformer_blocks.0.attn2.to_k"  # of LAYER, with one layer a block
FLAT = "lora_unet_" + LAYER.replace(".", "_")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="module")
def xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion_xl(tmp_path_factory.mktemp("sdxl"))


def factors(rank: int = 2, width: int = 16) -> tuple[Tensor, Tensor]:
    torch.manual_seed(5)
    return torch.randn(rank, width), torch.randn(16, rank)


def weight(model: DenoiserModel, network: str = "unet", layer: str = LAYER) -> Tensor:
    return model.networks[network].get_submodule(layer).weight.detach().clone()


@pytest.mark.parametrize(
    ("down", "up", "alpha"),
    [
        (f"{FLAT}.lora_down.weight", f"{FLAT}.lora_up.weight", f"{FLAT}.alpha"),  # kohya, OneTrainer
        (f"unet.{LAYER}.lora_A.weight", f"unet.{LAYER}.lora_B.weight", ""),  # diffusers
        (f"unet.{LAYER}.lora.down.weight", f"unet.{LAYER}.lora.up.weight", f"unet.{LAYER}.alpha"),  # diffusers 0.2x
        (f"{LAYER[:-5]}.processor.to_k_lora.down.weight", f"{LAYER[:-5]}.processor.to_k_lora.up.weight", ""),  # before
        (f"base_model.model.{LAYER}.lora_A.default.weight", f"base_model.model.{LAYER}.lora_B.default.weight", ""),  # PEFT
        (f"diffusion_model.{ORIGINAL}.lora_A.weight", f"diffusion_model.{ORIGINAL}.lora_B.weight", ""),  # ComfyUI
        (f"lora_unet_{ORIGINAL.replace('.', '_')}.lora_down.weight", f"lora_unet_{ORIGINAL.replace('.', '_')}.lora_up.weight",
         f"lora_unet_{ORIGINAL.replace('.', '_')}.alpha"),  # kohya, SDXL
    ],
)  # fmt: skip
def test_producers(folder: Path, tmp_path: Path, down: str, up: str, alpha: str) -> None:
    a, b = factors()
    save_file({down: a, up: b} | ({alpha: torch.tensor(3.0)} if alpha else {}), tmp_path / "x.safetensors")
    model = DenoiserModel.load(folder)
    before = weight(model)
    lora.apply(model, tmp_path, 0.5)
    torch.testing.assert_close(weight(model), before + 0.5 * (3.0 if alpha else 2.0) / 2 * b @ a)


def test_ranks_and_alphas_of_each_layer_are_its_own(folder: Path, tmp_path: Path) -> None:
    """Where diffusers 0.42 applies one layer's factor to all: x 0 to x 2."""
    model, tensors, expected = DenoiserModel.load(folder), {}, {}
    unet = [f"{LAYER[:-4]}{name}" for name in ("to_q", "to_k", "to_v", "to_out.0")]
    layers = [("unet", one, f"lora_unet_{one.replace('.', '_')}") for one in unet]
    layers += [("text_encoder", TEXT, f"lora_te_text_model_{TEXT.replace('.', '_')}")]
    for n, (network, layer, name) in enumerate(layers):
        rank, alpha = n + 1, 2.0 * n + 1
        a, b = factors(rank)
        tensors |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b, f"{name}.alpha": torch.tensor(alpha)}
        expected[network, layer] = weight(model, network, layer) + alpha / rank * b @ a
    save_file(tensors, tmp_path / "x.safetensors")
    lora.apply(model, tmp_path / "x.safetensors")
    for (network, layer), whole in expected.items():
        torch.testing.assert_close(weight(model, network, layer), whole)


def test_settings_of_peft(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """lora_alpha and its pattern, beside the file or in its header; rsLoRA divides by the root of the rank."""
    a, b = factors()
    told = {"lora_alpha": 5.0, "alpha_pattern": {"attn1.to_k": 1.0}}
    cases = ((told, 5.0), (told | {"alpha_pattern": {"attn2.to_k": 8}}, 8.0), (told | {"use_rslora": True}, 5 * 2**0.5))
    for settings, alpha in cases:
        path = tmp_path / "adapter_model.safetensors"
        save_file({f"base_model.model.{LAYER}.lora_A.weight": a, f"base_model.model.{LAYER}.lora_B.weight": b}, path)
        (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
        assert lora_file.read(tmp_path).alpha(f"base_model.model.{LAYER}", 2) == alpha
        header = {"lora_adapter_metadata": json.dumps({f"unet.{name}": value for name, value in settings.items()})}
        path = tmp_path_factory.mktemp("header") / "x.safetensors"
        save_file({f"unet.{LAYER}.lora_A.weight": a, f"unet.{LAYER}.lora_B.weight": b}, path, header)
        assert lora_file.read(path).alpha(f"unet.{LAYER}", 2) == alpha


def test_rows_take_their_own(folder: Path, tmp_path: Path) -> None:
    """In one batch, unmerged, at different scales, text encoder and UNet: what merged weights give each row alone."""
    made = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    layers = {}
    for part, targets in (("unet", ["to_q", "to_out.0", "conv1", "time_emb_proj"]), ("text_encoder", ["q_proj", "fc1"])):
        torch.manual_seed(6)
        module = getattr(made, part)
        module.add_adapter(LoraConfig(r=2, lora_alpha=6, target_modules=targets, init_lora_weights=False))
        layers[f"{part}_lora_layers"] = get_peft_model_state_dict(module)
    StableDiffusionPipeline.save_lora_weights(tmp_path, **layers)
    a, b = factors()
    save_file({f"{FLAT}.lora_down.weight": a, f"{FLAT}.lora_up.weight": b}, tmp_path / "one.safetensors")
    whole, one = tmp_path / "pytorch_lora_weights.safetensors", tmp_path / "one.safetensors"
    chosen: list[list[tuple[Path, float]]] = [[], [(whole, 1.0)], [(whole, 0.3), (one, 1.5)], [(one, -1.0)]]

    model = DenoiserModel.load(folder)
    model.pack()
    rows = [[(model.adapters.get(path), scale) for path, scale in row] for row in chosen]
    conditions = model.embed_prompts(["a cat"] * 4, rows)
    x, timesteps = torch.randn(4, 4, 8, 8), torch.tensor([999.0, 500.0, 400.0, 3.0])
    out = model.predict(x, timesteps, conditions, adapters=rows)
    for n, row in enumerate(chosen):
        merged = DenoiserModel.load(folder)
        for path, scale in row:
            lora.apply(merged, path, scale)
        (condition,) = merged.embed_prompts(["a cat"])
        assert condition.tokens is not None
        torch.testing.assert_close(conditions[n].tokens, condition.tokens, atol=1e-5, rtol=1e-4)
        alone = merged.predict(x[n : n + 1], timesteps[n : n + 1], [condition])
        torch.testing.assert_close(out[n : n + 1], alone, atol=1e-4, rtol=1e-3)
    plain = model.predict(x, timesteps, model.embed_prompts(["a cat"] * 4))
    assert [bool((out[n] - plain[n]).abs().max() > 1e-3) for n in range(4)] == [False, True, True, True]


def test_both_text_encoders_of_xl(xl: Path, tmp_path: Path) -> None:
    model, (a, b) = DenoiserModel.load(xl), factors()
    names = {"lora_te1_text_model_encoder_layers_0_mlp_fc2": ("text_encoder", "encoder.layers.0.mlp.fc2", 32, 16)}
    names["lora_te2_text_projection"] = ("text_encoder_2", "text_projection", 24, 12)
    names["lora_unet_label_emb_0_0"] = ("unet", "add_embedding.linear_1", 36, 32)
    tensors, expected = {}, {}
    for name, (network, layer, inputs, outputs) in names.items():
        a, b = torch.randn(2, inputs), torch.randn(outputs, 2)
        tensors |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b}
        expected[network, layer] = weight(model, network, layer) + b @ a
    save_file(tensors, tmp_path / "x.safetensors")
    lora.apply(model, tmp_path)
    for (network, layer), whole in expected.items():
        torch.testing.assert_close(weight(model, network, layer), whole)


def test_files_that_are_no_lora_for_it(folder: Path, tmp_path: Path) -> None:
    model = DenoiserModel.load(folder, name="sd")
    before, path = weight(model), tmp_path / "other.safetensors"
    good = {f"{FLAT}.lora_down.weight": factors()[0], f"{FLAT}.lora_up.weight": factors()[1]}

    def refused(tensors: dict[str, Tensor], told: str) -> None:
        save_file(tensors, path)
        with pytest.raises(BadWeights, match=told):
            lora.apply(model, path)
        assert torch.equal(weight(model), before)

    zeros: Callable[..., Tensor] = torch.zeros
    refused(
        {"transformer.blocks.0.lora_A.weight": zeros(2, 4)}, "names no layer of sd.*a diffusion transformer; take a LoRA made"
    )
    refused({"lora_unet_double_blocks_0_img_attn_qkv.alpha": zeros(())}, "names no layer of sd.*looks like one for FLUX")
    second = {"lora_te2_text_projection.alpha": zeros(())}
    refused(good | second, "no layer for: lora_te2_text_projection, it looks like one for Stable Diffusion XL")
    refused(good | {f"{FLAT}.on_input": zeros(1)}, f"no layer for: {FLAT}.on_input;")
    refused(good | {"string_to_param": zeros(1)}, "no layer for: string_to_param;")
    wide = {f"{FLAT}.lora_down.weight": zeros(2, 2048), f"{FLAT}.lora_up.weight": zeros(16, 2)}
    refused(wide, "does not fit sd: its layer .*to_k is 16 x 16 and not 16 x 2048, it looks like one for Stable Diffusion XL;")
    twice = {f"unet.{LAYER}.lora_A.weight": zeros(2, 16), f"unet.{LAYER}.lora_B.weight": zeros(16, 2)}
    refused(good | twice, "names the layer .*attn2.to_k twice")
    refused({name: tensor * float("nan") for name, tensor in good.items()}, "holds numbers that are none in .*damaged")
    refused({"emb_params": zeros(2, 16)}, "is no LoRA of a known kind: it holds emb_params")
    path.write_bytes(b"rubbish")
    with pytest.raises(BadWeights, match=r"other\.safetensors is damaged"):
        lora.apply(model, path)
    (tmp_path / "cat.pt").touch()
    with pytest.raises(BadWeights, match=r"cat\.pt is not a safetensors file; a pickle can run code"):
        lora.apply(model, tmp_path / "cat.pt")
    save_file(good, tmp_path / "second.safetensors")
    with pytest.raises(BadRequest, match="holds 2 safetensors files"):
        lora.apply(model, tmp_path)
    with pytest.raises(BadRequest, match="LoRA scale is nan"):
        lora.apply(model, path, float("nan"))


def test_a_file_is_read_once_and_again_when_it_changes(folder: Path, tmp_path: Path) -> None:
    model, path = DenoiserModel.load(folder), tmp_path / "x.safetensors"
    a, b = factors()
    save_file({f"{FLAT}.lora_down.weight": a, f"{FLAT}.lora_up.weight": b}, path)
    first = model.adapters.get(path)
    assert model.adapters.get(path) is first and first.nbytes == a.nbytes + b.nbytes
    save_file({f"{FLAT}.lora_down.weight": a[:1].clone(), f"{FLAT}.lora_up.weight": b[:, :1].clone()}, path)
    assert model.adapters.get(path).nbytes == first.nbytes // 2
