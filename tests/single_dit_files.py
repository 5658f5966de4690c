"""Tiny random diffusion transformers under their original repositories' names, and whole models in one file.

Written by names that stand here, not by those that are tested; diffusers' converters are held against them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import diffusers
import single_files
import tiny_dit
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

SCALES = {"flux": (0.3611, 0.1159), "sd3": (1.5305, 0.0609)}
WIDTH = 128  # of what the transformers read: two CLIPs side by side


def network(name: str) -> Any:
    torch.manual_seed(3)
    made = _network(name).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    return made


def _network(name: str) -> Any:
    if name in ("flux", "schnell"):
        return diffusers.FluxTransformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=1,
            joint_attention_dim=WIDTH, pooled_projection_dim=64, guidance_embeds=name == "flux", axes_dims_rope=(4, 14, 14),
        )  # fmt: skip
    if name in ("flux2", "klein"):
        return diffusers.Flux2Transformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=24, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=name == "flux2",
        )  # fmt: skip
    if name in ("sd3", "sd35"):
        more = {} if name == "sd3" else {"dual_attention_layers": (0,), "qk_norm": "rms_norm"}
        return diffusers.SD3Transformer2DModel(
            sample_size=128, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=64, num_attention_heads=1,
            joint_attention_dim=WIDTH, caption_projection_dim=64, pooled_projection_dim=WIDTH, pos_embed_max_size=16, **more,
        )  # fmt: skip
    if name == "z_image":
        return diffusers.ZImageTransformer2DModel(
            in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
            axes_dims=[4, 6, 6],
        )  # fmt: skip
    return diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=2, attention_head_dim=32, num_attention_heads=1, joint_attention_dim=16,
        axes_dims_rope=(4, 14, 14),
    )  # fmt: skip


def original(name: str, module: Any) -> dict[str, Tensor]:
    """Its tensors by their original names."""
    state = dict(module.state_dict())
    made = {"flux": flux, "schnell": flux, "sd3": sd3, "sd35": sd3, "z_image": z_image, "flux2": flux2, "klein": flux2}.get(
        name, lambda one: one
    )(state)
    return {key: one.contiguous().clone() for key, one in made.items()}


FLUX = {
    "time_text_embed.timestep_embedder.linear_": "time_in.", "time_text_embed.text_embedder.linear_": "vector_in.",
    "time_text_embed.guidance_embedder.linear_": "guidance_in.", "context_embedder": "txt_in", "x_embedder": "img_in",
}  # fmt: skip
FLUX_BLOCK = {
    "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj", "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2",
}  # fmt: skip


def fused(state: dict[str, Tensor], layers: list[str]) -> dict[str, Tensor]:
    return {end: torch.cat([state.pop(f"{one}.{end}") for one in layers]) for end in ("weight", "bias")
            if f"{layers[0]}.{end}" in state}  # fmt: skip


def halves(tensor: Tensor) -> Tensor:
    return torch.cat(tensor.chunk(2)[::-1])


def flux(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for block in sorted({key.rsplit(".attn.", 1)[0] for key in state if ".attn.to_q" in key}):
        number, single = block.split(".")[1], block.startswith("single")
        if single:
            layers = [f"{block}.attn.to_q", f"{block}.attn.to_k", f"{block}.attn.to_v", f"{block}.proj_mlp"]
            found |= {f"single_blocks.{number}.linear1.{end}": one for end, one in fused(state, layers).items()}
            continue
        for side, pattern in (("img", "to_{}"), ("txt", "add_{}_proj")):
            layers = [f"{block}.attn.{pattern.format(one)}" for one in "qkv"]
            found |= {f"double_blocks.{number}.{side}_attn.qkv.{end}": one for end, one in fused(state, layers).items()}
    for key, one in state.items():
        path, _, end = key.rpartition(".")
        if path == "norm_out.linear":
            found[f"final_layer.adaLN_modulation.1.{end}"] = halves(one)
        elif path == "proj_out":
            found[f"final_layer.linear.{end}"] = one
        elif block := re.fullmatch(r"single_transformer_blocks\.(\d+)\.(.+)", path):
            inner = {"norm.linear": "modulation.lin", "proj_out": "linear2"}.get(block[2])
            norm = f"norm.{'query' if block[2].endswith('q') else 'key'}_norm.scale"
            found[f"single_blocks.{block[1]}.{f'{inner}.{end}' if inner else norm}"] = one
        elif block := re.fullmatch(r"transformer_blocks\.(\d+)\.(.+)", path):
            side = "txt" if "added" in path else "img"
            norm = f"{side}_attn.norm.{'query' if block[2].endswith('q') else 'key'}_norm.scale"
            inner = FLUX_BLOCK.get(block[2])
            found[f"double_blocks.{block[1]}.{f'{inner}.{end}' if inner else norm}"] = one
        else:
            for ours, theirs in FLUX.items():
                path = path.replace(ours, theirs)
            path = path.replace("_in.1", "_in.in_layer").replace("_in.2", "_in.out_layer")
            found[f"{path}.{end}"] = one
    return found


SD3 = {
    "pos_embed.pos_embed": "pos_embed", "pos_embed.proj": "x_embedder.proj", "proj_out.": "final_layer.linear.",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "norm1_context.linear": "context_block.adaLN_modulation.1", "norm1.linear": "x_block.adaLN_modulation.1",
    "attn.to_out.0": "x_block.attn.proj", "attn2.to_out.0": "x_block.attn2.proj", "attn.to_add_out": "context_block.attn.proj",
    "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2", "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2", "attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q", "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.norm_q": "x_block.attn2.ln_q", "attn2.norm_k": "x_block.attn2.ln_k",
}  # fmt: skip


def sd3(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    count = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    for block in range(count):
        for attention, side, pattern in (("attn", "x", "to_{}"), ("attn", "context", "add_{}_proj"), ("attn2", "x", "to_{}")):
            layers = [f"transformer_blocks.{block}.{attention}.{pattern.format(one)}" for one in "qkv"]
            place = f"joint_blocks.{block}.{side}_block.{attention}.qkv."
            found |= {place + end: one for end, one in fused(state, layers).items()}
    for key, one in state.items():
        if key.startswith(f"transformer_blocks.{count - 1}.norm1_context."):
            one = halves(one)
        name = key
        if key.startswith("norm_out.linear."):
            name, one = key.replace("norm_out.linear", "final_layer.adaLN_modulation.1"), halves(one)
        else:
            for ours, theirs in SD3.items():
                if re.search(rf"(^|\.){re.escape(ours)}", name):
                    name = re.sub(rf"(^|\.){re.escape(ours)}", rf"\g<1>{theirs}", name, count=1)
                    break
        found[name.replace("transformer_blocks.", "joint_blocks.")] = one
    return found


FLUX2 = {
    "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer", "x_embedder": "img_in", "context_embedder": "txt_in",
    "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer", "proj_out": "final_layer.linear",
    "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
    "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
    "single_stream_modulation.linear": "single_stream_modulation.lin",
}  # fmt: skip
FLUX2_BLOCK = {
    "attn.to_out.0": "img_attn.proj", "attn.to_add_out": "txt_attn.proj", "ff.linear_in": "img_mlp.0",
    "ff.linear_out": "img_mlp.2", "ff_context.linear_in": "txt_mlp.0", "ff_context.linear_out": "txt_mlp.2",
    "attn.to_qkv_mlp_proj": "linear1", "attn.to_out": "linear2",
}  # fmt: skip


def flux2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for block in sorted({key.rsplit(".attn.", 1)[0] for key in state if ".attn.to_q." in key}):
        for side, pattern in (("img", "to_{}"), ("txt", "add_{}_proj")):
            layers = [f"{block}.attn.{pattern.format(one)}" for one in "qkv"]
            place = f"double_blocks.{block.split('.')[1]}.{side}_attn.qkv."
            found |= {place + end: one for end, one in fused(state, layers).items()}
    for key, one in state.items():
        path, _, end = key.rpartition(".")
        if path == "norm_out.linear":
            found[f"final_layer.adaLN_modulation.1.{end}"] = halves(one)
        elif path in FLUX2:
            found[f"{FLUX2[path]}.{end}"] = one
        else:
            block = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", path)
            assert block is not None, key
            begin = f"{'single' if block[1] else 'double'}_blocks.{block[2]}."
            if ".norm_" in path:
                side = "" if block[1] else "txt_attn." if "added" in path else "img_attn."
                found[f"{begin}{side}norm.{'query' if path.endswith('q') else 'key'}_norm.scale"] = one
            else:
                found[f"{begin}{FLUX2_BLOCK[block[3]]}.{end}"] = one
    return found


def z_image(state: dict[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for block in [key.removesuffix("to_q.weight") for key in state if key.endswith("attention.to_q.weight")]:
        layers = [f"{block}to_{one}" for one in "qkv"]
        found |= {f"{block}qkv.{end}": one for end, one in fused(state, layers).items()}
    for key, one in state.items():
        name = key.replace("all_final_layer.2-1.", "final_layer.").replace("all_x_embedder.2-1.", "x_embedder.")
        name = name.replace("attention.to_out.0.", "attention.out.").replace("attention.norm_q", "attention.q_norm")
        found[name.replace("attention.norm_k", "attention.k_norm")] = one
    return found


def vae(name: str) -> Any:
    scale, shift = SCALES[name]
    return diffusers.AutoencoderKL(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, layers_per_block=1, use_quant_conv=False, use_post_quant_conv=False, scaling_factor=scale,
        shift_factor=shift, sample_size=512,
    ).eval()  # fmt: skip


def t5() -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=len(tiny_dit.WORDS), d_model=WIDTH, d_kv=64, d_ff=16, num_layers=1, num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    ).eval()  # fmt: skip


def clip(projected: bool, activation: str) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=49408, hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=1, projection_dim=64,
        max_position_embeddings=77, hidden_act=activation, bos_token_id=49406, eos_token_id=49407, pad_token_id=49407,
    )  # fmt: skip
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config).eval()


def pipeline(name: str, folder: Path) -> Any:
    """diffusers' own, whose T5 tokenizer lies in the folder."""
    from mmgen.models.diffusion.single_file.text import tokenizer

    torch.manual_seed(5)
    words = tiny_dit.tokenizer()
    words.backend_tokenizer.save(str(folder / "tokenizer.json"))
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
    common: dict[str, Any] = {"transformer": network(name), "vae": vae(name), "tokenizer": tokenizer("<|endoftext|>")}
    if name == "flux":
        schedule = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0)
        return diffusers.FluxPipeline(scheduler=schedule, text_encoder=clip(False, "quick_gelu"), tokenizer_2=words,
                                      text_encoder_2=t5(), **common)  # fmt: skip
    return diffusers.StableDiffusion3Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), text_encoder=clip(True, "quick_gelu"),
        text_encoder_2=clip(True, "gelu"), tokenizer_2=tokenizer("!"), text_encoder_3=t5(), tokenizer_3=words, **common,
    )  # fmt: skip


def vae_tensors(module: Any) -> dict[str, Tensor]:
    return {single_files.vae_name(key): one for key, one in module.state_dict().items()}


def clip_tensors(module: Any) -> dict[str, Tensor]:
    state = module.state_dict()
    return {key if key.startswith("text_") else f"text_model.{key}": one for key, one in state.items()}


def t5_tensors(module: Any) -> dict[str, Tensor]:
    return {key: one for key, one in module.state_dict().items() if key != "encoder.embed_tokens.weight"}


def write_whole(name: str, made: Any, path: Path) -> Path:
    """All in one file, as ComfyUI's are."""
    parts = {
        "model.diffusion_model.": original(name, made.transformer),
        "first_stage_model." if name == "sd3" else "vae.": vae_tensors(made.vae),
        "text_encoders.clip_l.transformer.": clip_tensors(made.text_encoder),
        "text_encoders.t5xxl.transformer.": t5_tensors(made.text_encoder_2 if name == "flux" else made.text_encoder_3),
    }
    if name == "sd3":
        parts["text_encoders.clip_g.transformer."] = clip_tensors(made.text_encoder_2)
    save_file({begin + key: one.contiguous().clone() for begin, part in parts.items() for key, one in part.items()}, path)
    return path


def write_parts(name: str, made: Any, folder: Path) -> tuple[Path, Path, Path, Path]:
    """FLUX's: the transformer, CLIP-L, T5 and the VAE in files of their own."""
    files = {"flux1": original(name, made.transformer), "clip_l": clip_tensors(made.text_encoder),
             "t5xxl": t5_tensors(made.text_encoder_2), "ae": vae_tensors(made.vae)}  # fmt: skip
    for file, tensors in files.items():
        save_file({key: one.contiguous().clone() for key, one in tensors.items()}, folder / f"{file}.safetensors")
    return tuple(folder / f"{file}.safetensors" for file in files)  # type: ignore[return-value]
