"""Tiny random text-to-image checkpoints, saved by diffusers and transformers as the real ones are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DDPMScheduler,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from mmgen.models.diffusion.upscaler import Upscaler, UpscalerConfig

TOKENS = 16  # a prompt's, in the tiny CLIPs
SCHEDULE: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def clip_tokenizer(folder: Path) -> CLIPTokenizer:
    """Letters, letters at a word's end, and the two special tokens."""
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=TOKENS)


def clip_config(width: int = 16, **values: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=190,
        hidden_size=width,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        max_position_embeddings=TOKENS,
        bos_token_id=188,
        eos_token_id=189,
        pad_token_id=189,
        **values,
    )


def unet(width: int = 16, **values: Any) -> UNet2DConditionModel:
    options: dict[str, Any] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "cross_attention_dim": width,
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**options | values).eval()


def vae(**values: Any) -> AutoencoderKL:
    return AutoencoderKL(
        sample_size=16,
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.2,
        **values,
    ).eval()


def tiny_vae() -> AutoencoderTiny:
    return AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
    ).eval()


def stable_diffusion(folder: Path, **unet_values: Any) -> Path:
    """Stable Diffusion 1.x: one CLIP, 16 x 16 pixels."""
    torch.manual_seed(0)
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config()).eval(),
        tokenizer=clip_tokenizer(folder / "words"),
        unet=unet(**unet_values),
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    """Stable Diffusion XL: two CLIPs, the pooled prompt and the image's size."""
    torch.manual_seed(1)
    StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(clip_config()).eval(),
        text_encoder_2=CLIPTextModelWithProjection(clip_config(24, projection_dim=12)).eval(),
        tokenizer=clip_tokenizer(folder / "words"),
        tokenizer_2=clip_tokenizer(folder / "words"),
        unet=unet(
            16 + 24,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=12 + 6 * 4,
            use_linear_projection=True,
        ),
        scheduler=DDIMScheduler(**SCHEDULE),
        force_zeros_for_empty_prompt=True,
    ).save_pretrained(folder)
    return folder


def embedded(folder: Path, tokens: int = 12, text: str = "embedded:minilm", **unet_values: Any) -> Path:
    """Our own kind: MiniLM's token states and its sentence vector, pixels folded twice."""
    torch.manual_seed(2)
    model = unet(
        384,
        sample_size=8,
        in_channels=12,
        out_channels=12,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=384,
        **unet_values,
    )
    model.half().save_pretrained(folder / "unet")
    DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    ).save_pretrained(folder / "scheduler")
    (folder / "mmgen.json").write_text(json.dumps({"text": text, "tokens": tokens, "size": 16}))
    return folder


def upscaled(folder: Path) -> Path:
    """Our own kind at half size, with an upscaler."""
    embedded(folder)
    Upscaler(UpscalerConfig(channels=4, layers=1)).save(folder / "upscaler")
    return folder


def unconditional(folder: Path) -> Path:
    """A DDPM without a prompt."""
    torch.manual_seed(3)
    UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    ).save_pretrained(folder / "unet")
    DDPMScheduler().save_pretrained(folder / "scheduler")
    return folder


def pixart(folder: Path) -> Path:
    """A diffusion transformer with a T5, which runs through diffusers' own pipeline."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    torch.manual_seed(4)
    words = Tokenizer(
        WordLevel({word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", "a", "red", "cat"])}, unk_token="<unk>")
    )
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    PixArtAlphaPipeline(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(T5Config(vocab_size=6, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)).eval(),
        vae=vae(),
        transformer=PixArtTransformer2DModel(
            sample_size=8,
            num_layers=1,
            patch_size=2,
            attention_head_dim=4,
            num_attention_heads=2,
            caption_channels=8,
            in_channels=4,
            cross_attention_dim=8,
            out_channels=8,
            use_additional_conditions=False,
        ).eval(),
        scheduler=DDIMScheduler(**SCHEDULE),
    ).save_pretrained(folder)
    return folder


def aura_flow(folder: Path) -> Path:
    """A diffusion transformer of a family that runs through diffusers' own pipeline."""
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    torch.manual_seed(4)
    words = Tokenizer(
        WordLevel({word: n for n, word in enumerate(["<pad>", "</s>", "<unk>", "a", "red", "cat"])}, unk_token="<unk>")
    )
    words.pre_tokenizer = Whitespace()
    AuraFlowPipeline(
        tokenizer=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"),
        text_encoder=UMT5EncoderModel(UMT5Config(vocab_size=6, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2)).eval(),
        vae=vae(),
        transformer=AuraFlowTransformer2DModel(
            sample_size=8,
            patch_size=2,
            in_channels=4,
            num_mmdit_layers=1,
            num_single_dit_layers=1,
            attention_head_dim=4,
            num_attention_heads=2,
            joint_attention_dim=8,
            caption_projection_dim=8,
            out_channels=4,
            pos_embed_max_size=64,
        ).eval(),
        scheduler=FlowMatchEulerDiscreteScheduler(),
    ).save_pretrained(folder)
    return folder
