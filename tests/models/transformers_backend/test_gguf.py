"""GGUF files of architectures that only transformers has."""

from pathlib import Path

import checkpoints
import gguf_models
import pytest
import torch
from gguf import GGMLQuantizationType as Type

from mmgen.errors import BadWeights
from mmgen.plugins import registry


def test_starcoder2(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Through the registry's loader: logits of the library, tokenizer and ends of the file, and a line that says so."""
    path, values = tmp_path / "tiny.gguf", {**checkpoints.GROUPED, "vocab_size": gguf_models.VOCABULARY}
    theirs = checkpoints.build(checkpoints.make("Starcoder2ForCausalLM", "Starcoder2Config", values, sliding_window=None))
    gguf_models.save(path, theirs, "starcoder2", Type.Q8_0)
    model = registry().text_models.get("causal")(path)
    assert any(
        "tiny.gguf is of the architecture starcoder2: transformers dequantizes it" in one.message for one in caplog.records
    )
    assert (model.name, model.eos_ids, model.max_tokens) == ("tiny.gguf", frozenset({1}), 128)
    ids = torch.tensor([model.encode("the hat and the heat")])
    with torch.inference_mode():
        torch.testing.assert_close(model.lm.model(ids).logits, theirs(ids).logits, atol=1e-3, rtol=0)


def test_what_nobody_reads(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    gguf_models.write(path, "qwen2vl", {}, {"token_embd.weight": torch.zeros(264, 64)})
    with pytest.raises(
        BadWeights, match=r"general\.architecture 'qwen2vl', which neither mmgen \(llama, .*\) nor transformers reads"
    ):
        registry().text_models.get("causal")(path)
