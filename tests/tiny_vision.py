"""Tiny random models that see, saved by transformers as the real ones are, with their processors; and images for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIDE, WORDS = 32, 48
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": SIDE,
    "patch_size": 8,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": WORDS + 2,
    "max_position_embeddings": 16, "bos_token_id": WORDS, "eos_token_id": WORDS + 1, "pad_token_id": 1,
}  # fmt: skip
DINO = {key: value for key, value in VISION.items() if key != "intermediate_size"}
NAMES = {"id2label": {0: "cat", 1: "dog", 2: "car"}, "label2id": {"cat": 0, "dog": 1, "car": 2}}


def varied(model: Any, seed: int = 0) -> Any:
    """Weights large enough that every one of them shows."""
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "logit" not in name:
            torch.nn.init.normal_(parameter, float("norm" in name and name.endswith("weight")), 0.2)
    return model.eval()


def clip() -> Any:
    return transformers.CLIPModel(transformers.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=24))


def siglip() -> Any:
    """Patches do not divide its images, as in SO400M."""
    vision = {**VISION, "image_size": 36}
    return transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision, text_config=TEXT))


def vit() -> Any:
    return transformers.ViTForImageClassification(transformers.ViTConfig(**VISION, **NAMES))


def dinov2(**more: Any) -> Any:
    return transformers.Dinov2Model(transformers.Dinov2Config(**DINO, **more))


def dinov2_classifier() -> Any:
    return transformers.Dinov2ForImageClassification(transformers.Dinov2Config(**DINO, **NAMES, use_swiglu_ffn=True))


CROPPED = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
PROCESSORS: dict[str, Callable[[], Any]] = {
    "clip": lambda: transformers.CLIPImageProcessor(**CROPPED),
    "siglip": lambda: transformers.SiglipImageProcessor(size={"height": 36, "width": 36}),
    "vit": lambda: transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}),
    "dinov2": lambda: transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size=CROPPED["crop_size"]),
}


def save_tokenizer(folder: Path, end: str = "$A") -> None:
    """Every word w0, w1, ... is a token; around a text stand CLIP's two or, with `end`, SigLIP's one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ends = {"<|startoftext|>": WORDS, "<|endoftext|>": WORDS + 1}
    fast = Tokenizer(models.WordLevel({f"w{n}": n for n in range(WORDS)} | ends, unk_token="w0"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = f"<|startoftext|> {end} <|endoftext|>" if end == "$A" else end
    fast.post_processor = processors.TemplateProcessing(around, special_tokens=list(ends.items()))
    fast.save(str(folder / "tokenizer.json"))


def saved(model: Any, folder: Path) -> Any:
    """The model, its folder filled."""
    varied(model).save_pretrained(folder)
    kind = model.config.model_type
    PROCESSORS[kind]().save_pretrained(folder)
    if kind == "clip":
        save_tokenizer(folder)
    if kind == "siglip":
        save_tokenizer(folder, "$A <|endoftext|>")
        (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "w1"}}))
    return model


def image(width: int, height: int, seed: int = 0, mode: str = "RGB") -> Image.Image:
    """Smooth noise."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    shape = (height // 3 + 1, width // 3 + 1, bands)
    noise = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(noise[..., 0] if bands == 1 else noise, mode=None if mode == "RGB" else mode).resize((width, height))


def images(*sizes: tuple[int, int]) -> list[Image.Image]:
    return [image(*size, seed=seed) for seed, size in enumerate(sizes)]
