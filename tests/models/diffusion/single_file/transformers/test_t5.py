"""T5's encoder in a GGUF file: its states and its tokenizer are those of transformers."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import single_dit_files as made_files
import torch
import transformers
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

from mmgen.errors import BadWeights
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile
from mmgen.models.diffusion.single_file.transformers import t5, text_encoders
from mmgen.models.quantization.block_layers import BlockLinear

WORDS = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -4.0), ("\u2581a", -2.0), ("\u2581red", -3.0), ("c", -5.0),
         ("\u2581cat", -3.5), ("at", -4.5), ("s", -5.0), ("d", -6.0), ("re", -6.0)]  # fmt: skip


def write(module: Any, path: Path, **more: Any) -> None:
    """As llama.cpp's converter does; the module gets the weights that stand in the file."""
    writer = gguf.GGUFWriter(path, "t5encoder")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 1)
    for key, one in module.state_dict().items():
        if key == "encoder.embed_tokens.weight":
            continue
        name = names.get_name(key.removesuffix(".weight"))
        assert name is not None
        if one.dim() == 2 and one.shape[1] % 32 == 0:
            packed = quantize(one.numpy(), Type.Q8_0)
            writer.add_tensor(f"{name}.weight", packed, raw_dtype=Type.Q8_0)
            one.copy_(torch.from_numpy(dequantize(packed, Type.Q8_0)))
        else:
            writer.add_tensor(f"{name}.weight", one.numpy())
    writer.add_tokenizer_model(more.get("model", "t5"))
    writer.add_token_list([word for word, _ in WORDS])
    writer.add_token_scores([score for _, score in WORDS])
    writer.add_eos_token_id(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_its_states_and_words(tmp_path: Path) -> None:
    theirs = made_files.t5()
    write(theirs, tmp_path / "t5.gguf")
    kind, (file, prefix) = text_encoders._of_file(tmp_path / "t5.gguf")
    ours = t5.load(file, prefix, "cpu", torch.float32)
    assert kind == "t5" and sum(isinstance(layer, BlockLinear) for layer in ours.modules()) >= 6
    words = t5.gguf_tokenizer(file)
    own = transformers.T5TokenizerFast(vocab=WORDS, extra_ids=0)
    for text in ("a red cat", "a  red  cats ", "xyz", ""):
        assert words(text)["input_ids"] == own(text)["input_ids"], text
    ids = words("a red cat", padding="max_length", max_length=8, return_tensors="pt").input_ids
    with torch.no_grad():
        found, expected = ours(ids)[0], theirs(ids)[0]
    assert np.allclose(found, expected, atol=1e-4) and found.dtype == torch.float32


def test_a_file_without_its_words(tmp_path: Path) -> None:
    write(made_files.t5(), tmp_path / "t5.gguf", model="gpt2")
    with pytest.raises(BadWeights, match=r"holds no tokenizer of T5's kind; take the safetensors file with tokenizer\.json"):
        t5.gguf_tokenizer(GGUFSingleFile(tmp_path / "t5.gguf"))
