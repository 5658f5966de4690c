"""Tiny random models of transformers as GGUF files, written with gguf-py as llama.cpp's converter does."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import checkpoints
import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from tiny_llama import TEMPLATE, byte_tokenizer
from torch import Tensor

VOCABULARY = 264
SPECIAL = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>"]
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 64, "num_key_value_heads": 2}


def stated(config: Any, architecture: str) -> dict[str, Any]:
    """What every architecture's metadata say."""
    rope = config.rope_parameters
    rope = rope.get("full_attention", rope)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "attention.layer_norm_rms_epsilon": getattr(config, "rms_norm_eps", 1e-5),
        "attention.layer_norm_epsilon": getattr(config, "norm_epsilon", 1e-5),
        "rope.freq_base": rope["rope_theta"],
        "rope.dimension_count": int(size * rope.get("partial_rotary_factor", 1.0)),
    }


def reordered(weights: Tensor, heads: int) -> Tensor:
    """llama.cpp's converter: rows (0, 1, ..., half, ...) of a head become (0, half, 1, half + 1, ...)."""
    return weights.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def tensors(model: Any, architecture: str, permuted: bool, plus_one: bool) -> dict[str, Tensor]:
    """Under gguf-py's own names."""
    config, out = model.config, {}
    number = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        weight = weight.detach().float()
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if permuted and ".q_proj." in name:
            weight = reordered(weight, config.num_attention_heads)
        if permuted and ".k_proj." in name:
            weight = reordered(weight, config.num_key_value_heads)
        if plus_one and name.endswith("norm.weight"):
            weight = weight + 1
        if config.model_type == "gpt_oss" and ".experts." in name:
            out |= {names.get_name(one) + end: value for (one, end), value in gpt_oss_parts(name, weight).items()}
            continue
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            gate, up = weight.chunk(2, 1)
            out[names.get_name(f"{stem}gate_proj") + ".weight"] = gate
            out[names.get_name(f"{stem}up_proj") + ".weight"] = up
            continue
        stem = name.removesuffix(".weight").removesuffix(".bias")
        found = names.get_name(stem)
        assert found is not None, name
        out[found + (".bias" if name.endswith(".bias") else ".weight")] = weight
    return out


def byte_level(writer: gguf.GGUFWriter, pre: str = "llama-bpe") -> None:
    """The tiny llama's tokenizer."""
    fast = byte_tokenizer()
    words = [fast.id_to_token(number) for number in range(VOCABULARY)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if word in SPECIAL else gguf.TokenType.NORMAL for word in words])
    writer.add_token_merges(["Ġ t", "h e", "Ġ a"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)


def pieces() -> tuple[list[str], list[float], list[int]]:
    """A sentencepiece vocabulary: tokens, scores, kinds."""
    words = ["▁", "t", "h", "e", "▁t", "he", "▁the", "a", "▁a", "n", "an", "▁an", "d", "▁and", "▁▁", "s", "r", "er", "o"]
    kinds = [*[gguf.TokenType.CONTROL] * 3, *[gguf.TokenType.BYTE] * 256, *[gguf.TokenType.NORMAL] * len(words)]
    kinds[0] = gguf.TokenType.UNKNOWN
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{number:02X}>" for number in range(256)), *words]
    scores = [0.0] * 259 + [-float(len(words) - len(word) * 3 + number / 32) for number, word in enumerate(words)]
    return tokens, scores, [int(kind) for kind in kinds]


def sentencepiece(writer: gguf.GGUFWriter) -> None:
    tokens, scores, kinds = pieces()
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def gpt_oss_parts(name: str, weight: Tensor) -> dict[tuple[str, str], Tensor]:
    """A tensor of all experts (experts, in, out), gate and up in turn -> (name, end) of those of a file, (experts, out, in)."""
    stem, end = name.removesuffix("_bias"), ".bias" if name.endswith("_bias") else ".weight"
    weight = weight if end == ".bias" else weight.transpose(1, 2)
    if not stem.endswith("gate_up_proj"):
        return {(stem, end): weight}
    start = stem.removesuffix("gate_up_proj")
    return {(f"{start}{one}_proj", end): weight[:, number::2] for number, one in enumerate(("gate", "up"))}


def gpt_oss_whole(name: str, parts: Sequence[Tensor]) -> Tensor:
    """The inverse."""
    whole = torch.stack(list(parts), 2).flatten(1, 2)
    return whole if name.endswith("_bias") else whole.transpose(1, 2)


Words = Callable[[gguf.GGUFWriter], None]


def write(
    path: Path,
    architecture: str,
    metadata: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    type: Type = Type.F32,
    words: Words = byte_level,
    types: Mapping[str, Type] = {},
    blocks: Mapping[str, np.ndarray] = {},
) -> dict[str, Tensor]:
    """-> every tensor with the values that the file gives.

    Args:
        type: of matrices, unless `types` says another; vectors are F32.
        blocks: what to write in the place of tensors, already in blocks of `types`.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        add(writer, f"{architecture}.{key}", value)
    words(writer)
    values = {}
    for name, weight in weights.items():
        kind = types.get(name, type) if weight.dim() > 1 else Type.F32
        data = blocks[name] if name in blocks else gguf.quants.quantize(np.ascontiguousarray(weight.numpy()), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
        values[name] = torch.from_numpy(gguf.quants.dequantize(data, kind)).view(weight.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


def add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, list(value))


def llama_file(path: Path, type: Type = Type.F32, words: Words = byte_level, seed: int = 0, **sizes: Any) -> Any:
    """A tiny llama as a file -> the model of transformers with the file's values."""
    model = checkpoints.build(checkpoints.llama(**{**SIZES, **sizes}), seed)
    save(path, model, "llama", type, words, permuted=True)
    return model


def save(
    path: Path,
    model: Any,
    architecture: str,
    type: Type = Type.F32,
    words: Words = byte_level,
    *,
    permuted: bool = False,
    plus_one: bool = False,
    more: Mapping[str, Any] = {},
    extra: Mapping[str, Tensor] = {},
    types: Mapping[str, Type] = {},
    blocks: Callable[[Mapping[str, Tensor]], Mapping[str, np.ndarray]] = lambda weights: {},
) -> None:
    """Writes a file and gives the model the file's values: what quantizing took is gone from both."""
    weights = tensors(model, architecture, permuted, plus_one)
    told = {**stated(model.config, architecture), **more}
    values = write(path, architecture, told, {**weights, **extra}, type, words, types, blocks(weights))
    before = dict(model.state_dict())
    with torch.no_grad():
        for name, weight in restored(model, architecture, values, permuted, plus_one).items():
            before[name].copy_(weight)


def restored(model: Any, architecture: str, values: Mapping[str, Tensor], permuted: bool, plus_one: bool) -> dict[str, Tensor]:
    """The model's tensors of the file's: found by what goes where when the model's own are numbers of their own."""
    config, out = model.config, {}
    number = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture)
    names = gguf.get_tensor_name_map(number, config.num_hidden_layers)
    for name, before in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if config.model_type == "gpt_oss" and ".experts." in name:
            keys = gpt_oss_parts(name, before)
            out[name] = gpt_oss_whole(name, [values[names.get_name(one) + end] for one, end in keys])
            continue
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            parts = [values[names.get_name(f"{stem}{one}_proj") + ".weight"] for one in ("gate", "up")]
            out[name] = torch.cat(parts, 1)
            continue
        stem = name.removesuffix(".weight").removesuffix(".bias")
        weight = values[names.get_name(stem) + (".bias" if name.endswith(".bias") else ".weight")]
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}
        kind = next((kind for kind in heads if f".{kind}_proj." in name), "")
        if permuted and kind:
            weight = weight.unflatten(0, (heads[kind], -1, 2)).transpose(1, 2).flatten(0, 2)
        out[name] = weight - 1 if plus_one and name.endswith("norm.weight") else weight
    return out


def random_blocks(name: str, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Blocks of a type that gguf-py cannot write: random numbers, scales that give weights of about 0.05."""
    kind = Type[name]
    values, nbytes = gguf.GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(seed)
    blocks = random.integers(0, 256, (int(np.prod(shape)) // values, nbytes), dtype=np.uint8)
    scales = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208, 209), "Q2_K": (80, 82), "Q3_K": (108, 109), "IQ4_XS": (0, 1)}
    first, last = scales.get(name, (0, 0))
    for at in range(first, last):
        half = np.full(len(blocks), 0.0005, np.float16)
        start = first + 2 * (at - first)
        blocks[:, start : start + 2] = half.view(np.uint8).reshape(-1, 2)
    if name == "MXFP4":
        blocks[:, 0] = 122  # 2^-5
    return blocks.reshape(*shape[:-1], -1)
