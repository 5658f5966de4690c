"""Tiny random diffusion transformers of every family, as pipelines of diffusers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import tiny_images
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import PreTrainedTokenizerFast

from mmgen.models.transformers_backend import processor

WORDS = ("<pad>", "</s>", "<unk>", "a", "red", "cat", "blue", "car", "with", "two", "green", "stars")
TEMPLATE = "{% for m in messages %}user {{ m['content'] }} </s>{% endfor %}assistant"


def tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    made.chat_template = TEMPLATE
    return made


def t5() -> Any:
    config = transformers.T5Config(vocab_size=len(WORDS), d_model=16, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    return transformers.T5EncoderModel(config)


def flow(**values: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**values)


def vae(channels: int = 4) -> Any:
    return diffusers.AutoencoderKL(
        sample_size=16, block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, norm_num_groups=4, scaling_factor=0.4,
        shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False,
    )  # fmt: skip


def gemma() -> Any:
    config = transformers.Gemma2Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, bos_token_id=2, eos_token_id=1,
    )  # fmt: skip
    return transformers.Gemma2Model(config)


def sd3(folder: Path) -> Any:
    clip = tiny_images.clip_config(16, projection_dim=8)
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=16, out_channels=4, pos_embed_max_size=16,
        ),
        scheduler=flow(shift=3.0), vae=vae(), tokenizer=tiny_images.clip_tokenizer(folder / "words"),
        text_encoder=transformers.CLIPTextModelWithProjection(clip),
        text_encoder_2=transformers.CLIPTextModelWithProjection(clip),
        tokenizer_2=tiny_images.clip_tokenizer(folder / "words"), tokenizer_3=tokenizer(),
        text_encoder_3=transformers.T5EncoderModel(
            transformers.T5Config(vocab_size=len(WORDS), d_model=32, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
        ),
    )  # fmt: skip


def flux(folder: Path, guidance_embeds: bool = True) -> Any:
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, pooled_projection_dim=16, guidance_embeds=guidance_embeds, axes_dims_rope=(4, 6, 6),
        ),
        scheduler=flow(use_dynamic_shifting=True, shift=3.0), vae=vae(),
        tokenizer=tiny_images.clip_tokenizer(folder / "words"),
        text_encoder=transformers.CLIPTextModel(tiny_images.clip_config(16)), tokenizer_2=tokenizer(), text_encoder_2=t5(),
    )  # fmt: skip


def schnell(folder: Path) -> Any:
    return flux(folder, guidance_embeds=False)


def qwen_image(folder: Path) -> Any:
    text = {
        "vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    return diffusers.QwenImagePipeline(
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(4, 6, 6),
        ),
        scheduler=flow(use_dynamic_shifting=True, shift_terminal=0.02, time_shift_type="exponential"),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=4, z_dim=4, dim_mult=[1, 2], num_res_blocks=1, attn_scales=[], temperal_downsample=[False],
            latents_mean=[0.1, 0.2, -0.1, 0.0], latents_std=[1.1, 0.9, 1.0, 1.2],
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(
            transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
        ),
        tokenizer=tokenizer(),
    )  # fmt: skip


def z_image(folder: Path) -> Any:
    config = transformers.Qwen3Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    return diffusers.ZImagePipeline(
        transformer=diffusers.ZImageTransformer2DModel(
            all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2,
            n_kv_heads=2, cap_feat_dim=16, axes_dims=[4, 6, 6], axes_lens=[64, 32, 32],
        ),
        scheduler=flow(shift=3.0), vae=vae(), text_encoder=transformers.Qwen3Model(config), tokenizer=tokenizer(),
    )  # fmt: skip


def lumina2(folder: Path) -> Any:
    return diffusers.Lumina2Pipeline(
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, hidden_size=32, num_layers=1, num_refiner_layers=1,
            num_attention_heads=2, num_kv_heads=1, multiple_of=16, cap_feat_dim=16,
            axes_dim_rope=(4, 6, 6), axes_lens=(512, 32, 32),
        ),
        scheduler=flow(shift=2.0), vae=vae(), text_encoder=gemma(), tokenizer=tokenizer(),
    )  # fmt: skip


def pixart(folder: Path) -> Any:
    return diffusers.PixArtSigmaPipeline(
        transformer=diffusers.PixArtTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=4, num_attention_heads=2, caption_channels=16,
            in_channels=4, cross_attention_dim=8, out_channels=8, use_additional_conditions=False,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(beta_schedule="linear", beta_start=1e-4, beta_end=0.02),
        vae=tiny_images.vae(), text_encoder=t5(), tokenizer=tokenizer(),
    )  # fmt: skip


def sana(folder: Path) -> Any:
    return diffusers.SanaPipeline(
        transformer=diffusers.SanaTransformer2DModel(
            patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
            num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=16, sample_size=8,
        ),
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, algorithm_type="dpmsolver++"
        ),
        vae=diffusers.AutoencoderDC(
            in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
            decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
            encoder_layers_per_block=(1, 1), decoder_layers_per_block=[1, 1], downsample_block_type="conv",
            upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41,
        ),
        text_encoder=gemma(), tokenizer=tokenizer(),
    )  # fmt: skip


def flux2(folder: Path, klein: bool = False) -> Any:
    sizes: dict[str, Any] = {
        "vocab_size": len(WORDS), "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 30, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1,
    }  # fmt: skip
    made = (transformers.Qwen3ForCausalLM, transformers.Qwen3Config)
    encoder, config = made if klein else (transformers.MistralForCausalLM, transformers.MistralConfig)
    autoencoder = diffusers.AutoencoderKLFlux2(
        block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4, norm_num_groups=4, layers_per_block=1, sample_size=16,
    )  # fmt: skip
    torch.nn.init.normal_(autoencoder.bn.running_mean)
    torch.nn.init.uniform_(autoencoder.bn.running_var, 0.5, 2)
    return (diffusers.Flux2KleinPipeline if klein else diffusers.Flux2Pipeline)(
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=24, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=not klein,
        ),
        scheduler=flow(use_dynamic_shifting=True, shift=3.0), vae=autoencoder, text_encoder=encoder(config(**sizes)),
        tokenizer=tokenizer(),
    )  # fmt: skip


def flux2_klein(folder: Path) -> Any:
    return flux2(folder, klein=True)


def flux_kontext(folder: Path) -> Any:
    """FLUX.1 that changes an image."""
    made = diffusers.FluxKontextPipeline(**flux(folder).components)
    heeding(made.transformer)
    return made


def heeding(transformer: torch.nn.Module) -> None:
    """With weights so large that tokens matter to each other."""
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)


def qwen_image_edit(folder: Path, kind: Any = diffusers.QwenImageEditPipeline) -> Any:
    """Qwen-Image that changes an image, which its text encoder sees as 25 tokens."""
    import tiny_vision_chat

    seeing = tiny_vision_chat.saved("qwen2_5_vl", folder / "chat")
    path, pixels = seeing / "preprocessor_config.json", 140 * 140
    size = {"min_pixels": pixels, "max_pixels": pixels, "size": {"shortest_edge": pixels, "longest_edge": pixels}}
    path.write_text(json.dumps(json.loads(path.read_text()) | size))
    text, plain = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(seeing), qwen_image(folder)
    width = {"joint_attention_dim": text.config.text_config.hidden_size}
    transformer = diffusers.QwenImageTransformer2DModel(**{**plain.transformer.config, **width})
    heeding(transformer)
    reads = processor.load(seeing)
    type(reads).__module__ = "transformers"  # the library saves it under that name, and its part for videos not at all
    reads.save_pretrained = lambda path, **_: shutil.copytree(
        seeing, path, ignore=shutil.ignore_patterns("config.json", "*.safetensors"), dirs_exist_ok=True
    )
    return kind(
        scheduler=plain.scheduler,
        vae=plain.vae,
        text_encoder=text,
        transformer=transformer,
        tokenizer=transformers.AutoTokenizer.from_pretrained(seeing),
        processor=reads,
    )


def qwen_image_edit_plus(folder: Path) -> Any:
    return qwen_image_edit(folder, diffusers.QwenImageEditPlusPipeline)


FAMILIES: dict[str, Callable[[Path], Any]] = {
    one.__name__: one for one in (sd3, flux, schnell, flux2, flux2_klein, qwen_image, z_image, lumina2, pixart, sana)
}
EDITING: dict[str, Callable[[Path], Any]] = {one.__name__: one for one in (flux_kontext, qwen_image_edit, qwen_image_edit_plus)}
"""Those that change an image."""


def make(name: str, folder: Path) -> Any:
    """The pipeline, which is in `folder` now."""
    torch.manual_seed(7)
    pipeline = {**FAMILIES, **EDITING}[name](folder)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    with torch.no_grad():  # a transformer's last layer begins with zeros in some families, and then says nothing
        for parameter in pipeline.transformer.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
