"""Tiny random vision-language models that are talked to, one of each family, with the files that their folders have."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

SIDE, PATCH = 28, 14
CONTROL = (
    "<pad>", "<s>", "</s>", "<image>", "<video>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>",
    "<|vision_end|>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<img>", "</img>", "<IMG_CONTEXT>",
    "<start_of_image>", "<end_of_image>", "<image_soft_token>", "<row_1_col_1>", "<loc_7>",
)  # fmt: skip
WORDS = ["<unk>", "user", "assistant", "system", ":", *(f"w{number}" for number in range(40))]
VOCABULARY, CONTEXT = len(WORDS) + len(CONTROL), 256
ID = {word: number for number, word in enumerate((*WORDS, *CONTROL))}
TEMPLATE = (
    "<s>{% for m in messages %} {{ m.role }} : {% if m.content is string %}{{ m.content }} {% else %}{% for c in m.content %}"
    "{% if c.type == 'image' %} IMAGE {% else %}{{ c.text }} {% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %} assistant : {% endif %}"
)
TEXT: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": CONTEXT, "bos_token_id": ID["<s>"],
    "eos_token_id": None, "pad_token_id": ID["<pad>"],
}  # fmt: skip
EYES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": SIDE,
    "patch_size": PATCH,
}  # fmt: skip
QWEN_IDS = {
    "image_token_id": ID["<|image_pad|>"], "video_token_id": ID["<|video_pad|>"],
    "vision_start_token_id": ID["<|vision_start|>"], "vision_end_token_id": ID["<|vision_end|>"],
}  # fmt: skip
ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_PIXELS = {"min_pixels": 28 * 28, "max_pixels": 56 * 56, "size": {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}}


def _qwen2_vl() -> dict[str, Any]:
    eyes = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2, "patch_size": PATCH}
    return {"text_config": {**TEXT, "rope_parameters": ROPE}, "vision_config": eyes, **QWEN_IDS}


def _qwen2_5_vl() -> dict[str, Any]:
    eyes = {
        "depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48, "patch_size": PATCH,
        "window_size": 56, "fullatt_block_indexes": [1],
    }  # fmt: skip
    return {"text_config": {**TEXT, "rope_parameters": ROPE}, "vision_config": eyes, **QWEN_IDS}


def _qwen3_vl() -> dict[str, Any]:
    eyes = {
        "depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48, "patch_size": PATCH,
        "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    return {"text_config": {**TEXT, "rope_parameters": ROPE}, "vision_config": eyes, **QWEN_IDS}


def _qwen3_5() -> dict[str, Any]:
    text = {
        **TEXT, "num_hidden_layers": 3, "layer_types": ["linear_attention", "full_attention", "linear_attention"],
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "rope_parameters": {**ROPE, "partial_rotary_factor": 1.0},
    }  # fmt: skip
    eyes = {
        "depth": 2, "hidden_size": 32, "out_hidden_size": 32, "num_heads": 4, "intermediate_size": 48, "patch_size": PATCH,
        "num_position_embeddings": 16,
    }  # fmt: skip
    return {"text_config": text, "vision_config": eyes, **QWEN_IDS}


def _mistral3() -> dict[str, Any]:
    eyes = {"model_type": "pixtral", **EYES, "head_dim": 8, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
    return {"text_config": {"model_type": "mistral", **TEXT}, "vision_config": eyes, "image_token_index": ID["<image>"],
            "spatial_merge_size": 1}  # fmt: skip


def _idefics() -> dict[str, Any]:
    return {
        "text_config": {"model_type": "llama", **TEXT}, "vision_config": EYES, "image_token_id": ID["<image>"],
        "scale_factor": 2, "pad_token_id": ID["<pad>"],
    }  # fmt: skip


def _internvl() -> dict[str, Any]:
    eyes = {**EYES, "image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}
    return {"text_config": {"model_type": "qwen2", **TEXT}, "vision_config": eyes, "image_token_id": ID["<IMG_CONTEXT>"],
            "image_seq_length": 1, "downsample_ratio": 0.5}  # fmt: skip


def _llava() -> dict[str, Any]:
    eyes = {"model_type": "clip_vision_model", **EYES, "projection_dim": 32}
    return {"text_config": {"model_type": "llama", **TEXT}, "vision_config": eyes, "image_token_index": ID["<image>"]}


def _gemma3() -> dict[str, Any]:
    text = {**TEXT, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
    return {"text_config": text, "vision_config": EYES, "mm_tokens_per_image": 1, "image_token_index": ID["<image_soft_token>"],
            "boi_token_index": ID["<start_of_image>"], "eoi_token_index": ID["<end_of_image>"]}  # fmt: skip


def _gemma4() -> dict[str, Any]:
    text = {
        **TEXT, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"], "global_head_dim": 8,
        "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": VOCABULARY, "num_kv_shared_layers": 0,
    }  # fmt: skip
    eyes = {
        **{key: EYES[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")},
        "num_key_value_heads": 4, "head_dim": 8, "patch_size": 4, "pooling_kernel_size": 2, "position_embedding_size": 64,
    }  # fmt: skip
    ids = {
        "image_token_id": ID["<image_soft_token>"],
        "boi_token_id": ID["<start_of_image>"],
        "eoi_token_id": ID["<end_of_image>"],
    }
    return {"text_config": text, "vision_config": eyes, "audio_config": None, **ids}


def _mllama() -> dict[str, Any]:
    text = {
        **{key: value for key, value in TEXT.items() if key != "head_dim"}, "num_hidden_layers": 3,
        "cross_attention_layers": [1], "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    }  # fmt: skip
    eyes = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_global_layers": 1, "attention_heads": 4,
        "image_size": SIDE, "patch_size": PATCH, "max_num_tiles": 4, "intermediate_layers_indices": [0],
        "vision_output_dim": 64,
    }  # fmt: skip
    return {"text_config": text, "vision_config": eyes, "image_token_index": ID["<image>"]}


def _florence2() -> dict[str, Any]:
    text = {
        "model_type": "bart", "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
        "max_position_embeddings": CONTEXT, "bos_token_id": ID["<s>"], "eos_token_id": ID["</s>"], "pad_token_id": ID["<pad>"],
        "decoder_start_token_id": ID["</s>"], "forced_eos_token_id": None,
    }  # fmt: skip
    eyes = {
        "depths": [1, 1], "patch_size": [7, 3], "patch_stride": [4, 2], "patch_padding": [3, 1], "patch_prenorm": [False, True],
        "embed_dim": [16, 32], "num_heads": [4, 4], "num_groups": [4, 4], "window_size": 2, "projection_dim": 32,
        "max_position_embeddings": 20,
    }  # fmt: skip
    return {"text_config": text, "vision_config": eyes, "image_token_id": ID["<image>"], "projection_dim": 32}


def _paligemma() -> dict[str, Any]:
    return {"text_config": {"model_type": "gemma", **TEXT}, "vision_config": {**EYES, "projection_dim": 32},
            "image_token_index": ID["<image>"], "projection_dim": 32}  # fmt: skip


FIXED = {"size": {"height": SIDE, "width": SIDE}}
SMALL = {"size": {"longest_edge": SIDE}, "max_image_size": {"longest_edge": SIDE}, "do_image_splitting": False}
FAMILIES: dict[str, tuple[Any, str, str, dict[str, Any], dict[str, Any], str]] = {
    # model type: config, processor, image processor and its settings, processor's settings, what an image is in the template
    "qwen2_vl": (_qwen2_vl, "Qwen2VLProcessor", "Qwen2VLImageProcessor", QWEN_PIXELS, {}, QWEN_IMAGE),
    "qwen2_5_vl": (_qwen2_5_vl, "Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", QWEN_PIXELS, {}, QWEN_IMAGE),
    "qwen3_vl": (_qwen3_vl, "Qwen3VLProcessor", "Qwen2VLImageProcessor", {**QWEN_PIXELS, "patch_size": PATCH}, {}, QWEN_IMAGE),
    "qwen3_5": (_qwen3_5, "Qwen3VLProcessor", "Qwen2VLImageProcessor", {**QWEN_PIXELS, "patch_size": PATCH}, {}, QWEN_IMAGE),
    "mistral3": (_mistral3, "PixtralProcessor", "PixtralImageProcessor",
                 {"size": {"longest_edge": SIDE}, "patch_size": PATCH},
                 {"patch_size": PATCH, "spatial_merge_size": 1, "image_token": "<image>", "image_break_token": "<row_1_col_1>",
                  "image_end_token": "<end_of_image>"}, "<image>"),
    "smolvlm": (_idefics, "SmolVLMProcessor", "SmolVLMImageProcessor", SMALL, {"image_seq_len": 1}, "<image>"),
    "idefics3": (_idefics, "Idefics3Processor", "Idefics3ImageProcessor", SMALL, {"image_seq_len": 1}, "<image>"),
    "internvl": (_internvl, "InternVLProcessor", "GotOcr2ImageProcessor", {**FIXED, "crop_to_patches": False},
                 {"image_seq_length": 1}, "<IMG_CONTEXT>"),
    "llava": (_llava, "LlavaProcessor", "CLIPImageProcessor", {"size": {"shortest_edge": SIDE}, "crop_size": FIXED["size"]},
              {"patch_size": PATCH, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}, "<image>"),
    "gemma3": (_gemma3, "Gemma3Processor", "Gemma3ImageProcessor", {**FIXED, "do_pan_and_scan": False},
               {"image_seq_length": 1}, "<start_of_image>"),
    "gemma4": (_gemma4, "Gemma4Processor", "Gemma4ImageProcessor",
               {"patch_size": 4, "pooling_kernel_size": 2, "max_soft_tokens": 70},
               {"feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"}}, "<image_soft_token>"),
    "mllama": (_mllama, "MllamaProcessor", "MllamaImageProcessor", {**FIXED, "max_image_tiles": 4}, {}, "<image>"),
    "florence2": (_florence2, "Florence2Processor", "CLIPImageProcessor",
                  {"size": FIXED["size"], "do_center_crop": False, "image_seq_length": 17}, {}, ""),
    "paligemma": (_paligemma, "PaliGemmaProcessor", "SiglipImageProcessor", {**FIXED, "image_seq_length": 4}, {}, ""),
}  # fmt: skip


def _tokenizer(kind: str) -> Any:
    fast = Tokenizer(models.WordLevel({word: ID[word] for word in WORDS}, unk_token="<unk>"))
    fast.add_special_tokens(list(CONTROL))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    more = {
        "image_token": "<image>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>",
        "fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>", "start_image_token": "<img>", "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>",
    }  # fmt: skip
    if kind.startswith("qwen"):
        more |= {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    elif kind == "gemma4":
        more |= {"image_token": "<image_soft_token>", "audio_token": "<video>", "boa_token": "<img>", "eoa_token": "</img>"}
    elif kind == "gemma3":
        more["image_token"] = "<image_soft_token>"
    named = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<s>"}
    if kind == "florence2":
        named["eos_token"] = "</s>"
    return transformers.PreTrainedTokenizerFast(tokenizer_object=fast, **named, extra_special_tokens=more)


def saved(kind: str, folder: Path) -> Path:
    """A folder as people get it: weights, tokenizer, configurations, and a template unless the family has none."""
    values, processor, images, settings, more, image = FAMILIES[kind]
    torch.manual_seed(0)
    model = transformers.AutoModelForImageTextToText.from_config(transformers.CONFIG_MAPPING[kind](**values()))
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.25)
    model.generation_config = transformers.GenerationConfig(pad_token_id=ID["<pad>"])
    if model.config.is_encoder_decoder:
        model.generation_config.decoder_start_token_id = ID["</s>"]
    model.save_pretrained(folder)
    _tokenizer(kind).save_pretrained(folder)
    getattr(transformers, f"{images}Pil")(**settings).save_pretrained(folder)
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": processor, **more}))
    if image:
        (folder / "chat_template.jinja").write_text(TEMPLATE.replace("IMAGE", image))
    return folder
