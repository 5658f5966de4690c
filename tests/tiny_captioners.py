"""Tiny random vision-language models, saved by transformers as the real ones are, with their processors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

SIDE, WORDS = 32, 60
VISION: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": SIDE,
    "patch_size": 16,
}  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": WORDS,
    "max_position_embeddings": 64,
}  # fmt: skip
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<image>")
TEMPLATE = (
    "{% for m in messages %}{{ m.role }} {% for c in m.content %}{% if c.type == 'image' %}<image> {% else %}{{ c.text }} "
    "{% endif %}{% endfor %}{% endfor %}"
)


def tokenizer() -> Any:
    """BERT's, whose words are w0, w1, ... and a few more."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = [*SPECIAL, "user", *(f"w{n}" for n in range(WORDS - len(SPECIAL) - 1))]
    fast = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=fast, **named, additional_special_tokens=["<image>"])


def image_processor() -> Any:
    return transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def blip() -> tuple[Any, Any]:
    text = {**TEXT, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0, "encoder_hidden_size": 32}
    config = transformers.BlipConfig(vision_config=VISION, text_config=text, projection_dim=16)
    images = transformers.BlipImageProcessor(size={"height": SIDE, "width": SIDE})
    return transformers.BlipForConditionalGeneration(config), transformers.BlipProcessor(images, tokenizer())


def git() -> tuple[Any, Any]:
    config = transformers.GitConfig(vision_config=VISION, **TEXT, bos_token_id=2, eos_token_id=3, pad_token_id=0)
    return transformers.GitForCausalLM(config), transformers.GitProcessor(image_processor(), tokenizer())


def encoder_decoder() -> tuple[Any, Any]:
    """Without a processor of its own, as several on the hub are."""
    words = {
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "vocab_size": WORDS,
        "n_positions": 64,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
        transformers.ViTConfig(**VISION), transformers.GPT2Config(**words)
    )
    model = transformers.VisionEncoderDecoderModel(config)
    for one in (model.config, model.generation_config):
        one.decoder_start_token_id, one.pad_token_id, one.eos_token_id = 2, 0, 3
    return model, None


def llava() -> tuple[Any, Any]:
    words = {key: value for key, value in TEXT.items() if key != "max_position_embeddings"}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION),
        text_config=transformers.LlamaConfig(**words, bos_token_id=2, eos_token_id=3, pad_token_id=0),
        image_token_index=5,
    )
    processor = transformers.LlavaProcessor(
        image_processor(), tokenizer(), patch_size=16, vision_feature_select_strategy="default", chat_template=TEMPLATE,
        image_token="<image>", num_additional_image_tokens=1,
    )  # fmt: skip
    return transformers.LlavaForConditionalGeneration(config), processor


MADE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "blip": blip,
    "git": git,
    "encoder-decoder": encoder_decoder,
    "llava": llava,
}


def saved(kind: str, folder: Path) -> Path:
    torch.manual_seed(0)
    model, processor = MADE[kind]()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    if processor is None:
        tokenizer().save_pretrained(folder)
        transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    else:
        processor.save_pretrained(folder)
    return folder
