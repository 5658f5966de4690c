import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from mmgen.config import assets_dir
from mmgen.serve.dialects import model_facts
from mmgen.serve.dialects.model_facts import ModelFacts


def test_of_safetensors(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1200, 1000, dtype=torch.float16), "b": torch.zeros(7)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 512}))
    found = model_facts.of(tmp_path)
    assert found == ModelFacts("llama", 1_200_007, "F16", 512) and found.size == "1.20M"
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "quantization_config": {"quant_method": "awq"}}))
    model_facts._of.cache_clear()
    assert model_facts.of(tmp_path) == ModelFacts("llama", 0, "awq"), "packed numbers are no count of parameters"


def test_of_gguf(tmp_path: Path) -> None:
    from gguf import GGUFWriter, LlamaFileType

    writer = GGUFWriter(tmp_path / "tiny.gguf", "qwen3")
    writer.add_context_length(256)
    writer.add_file_type(LlamaFileType.MOSTLY_Q4_K_M)
    writer.add_tensor("token_embd.weight", torch.zeros(64, 32).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert model_facts.of(tmp_path / "tiny.gguf") == ModelFacts("qwen3", 2048, "Q4_K_M", 256)


def test_of_what_cannot_be_read(tmp_path: Path) -> None:
    assert model_facts.of(tmp_path) == ModelFacts() and ModelFacts().size == ""
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 40)
    assert model_facts.of(tmp_path) == ModelFacts()


def test_sizes_are_ollamas() -> None:
    assert [ModelFacts(parameters=n).size for n in (7_241_732_096, 134_515_008, 999)] == ["7.2B", "134.52M", "999"]
    assert model_facts.of(assets_dir() / "models" / "books").family
