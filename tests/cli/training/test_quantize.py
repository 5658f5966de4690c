"""`mmgen quantize`: a smaller folder or GGUF file that loads, and what cannot be rounded."""

from pathlib import Path

import gguf_models
import pytest
import tiny_lm
from cli_call import Call
from gguf import GGMLQuantizationType as Type

from mmgen.models.checkpoints import gguf_reader
from mmgen.models.lm.text_model import TextModel


def test_quantize(call: Call, tmp_path: Path) -> None:
    folder = tiny_lm.make(tmp_path / "lm")
    called = call("quantize", folder, "--to", "int4", "-o", tmp_path / "small")
    assert called.code == 0 and "MB of weights instead of" in called.out
    assert type(TextModel.load(tmp_path / "small").lm.transformer.blocks[0].up).__name__ == "Int4Linear"


def test_mistakes(call: Call, tmp_path: Path) -> None:
    called = call("quantize", tmp_path / "none", "-o", tmp_path / "small")
    assert called.code == 2 and "error: " in called.err and not (tmp_path / "small").exists()
    called = call("quantize", tmp_path, "--to", "int3", "-o", tmp_path / "small")
    assert called.code == 2 and "int3" in called.err


@pytest.mark.parametrize("to", ["q8_0", "q4_0", "q4_1", "q4_k"])
def test_a_folder_as_gguf(call: Call, tmp_path: Path, tiny_llama: Path, to: str) -> None:
    """Tokens, template and ends are the folder's; weights are near."""
    out = tmp_path / "tiny.gguf"
    called = call("quantize", tiny_llama, "--to", to, "-o", out)
    assert called.code == 0 and [path.name for path in tmp_path.iterdir()] == ["tiny.gguf"]
    before, after = TextModel.load(tiny_llama, precision="fp32"), TextModel.load(out, precision="fp32")
    file = gguf_reader.opened(out)
    kinds = {tensor.type.name for name, tensor in file.tensors.items() if name.startswith("blk.") and len(tensor.shape) == 2}
    assert kinds == {"Q8_0" if to == "q4_k" else to.upper()}, "rows of 64 and 96 are no blocks of 256"
    text = "the <|user|> that\n"
    assert after.encode(text) == before.encode(text) and after.eos_ids == before.eos_ids
    messages = [{"role": "user", "content": "hi"}]
    assert after.render_chat(messages) == before.render_chat(messages)
    for (name, ours), theirs in zip(before.lm.state_dict().items(), after.lm.state_dict().values(), strict=True):
        gap = (theirs - ours).square().mean().sqrt() / ours.std()
        assert gap < (0.01 if to in ("q8_0", "q4_k") else 0.12), name


@pytest.mark.parametrize("to", ["q8_0", "q4_1", "q4_k"])
def test_a_gguf_file_anew(call: Call, tmp_path: Path, to: str) -> None:
    path, out = tmp_path / "tiny.gguf", tmp_path / "deep" / "small.gguf"
    gguf_models.llama_file(path, Type.F16, hidden_size=256, intermediate_size=256)
    assert call("quantize", path, "--to", to, "-o", out).code == 0
    before, after = gguf_reader.opened(path), gguf_reader.opened(out)
    changed = {"general.file_type", "general.quantization_version"}
    assert {key: value for key, value in after.metadata.items() if key not in changed} == before.metadata
    assert after.tensors["blk.0.ffn_up.weight"].type.name == to.upper()
    assert after.tensors["token_embd.weight"].type.name == "Q8_0" and after.tensors["output_norm.weight"].type.name == "F32"
    values = before.tensors["blk.0.attn_q.weight"].values()
    assert (after.tensors["blk.0.attn_q.weight"].values() - values).square().mean().sqrt() < 0.12 * values.std()
    assert TextModel.load(out).encode("the") == TextModel.load(path).encode("the")


def test_a_gguf_file_as_a_folder(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    gguf_models.llama_file(path, Type.Q8_0)
    assert call("quantize", path, "--to", "int8", "-o", tmp_path / "small").code == 0
    small, whole = TextModel.load(tmp_path / "small"), TextModel.load(path)
    assert small.encode("the hat") == whole.encode("the hat") and small.eos_ids == whole.eos_ids
    assert small.render_chat([{"role": "user", "content": "hi"}]) == whole.render_chat([{"role": "user", "content": "hi"}])


def test_what_is_not_written_as_gguf(call: Call, tmp_path: Path, tiny_llama: Path) -> None:
    called = call("quantize", tiny_llama, "--to", "q8_0", "-o", tmp_path / "folder")
    assert called.code == 2 and "q8_0 is written as GGUF; give a file NAME.gguf" in called.err
    called = call("quantize", "embedded:minilm", "--to", "q8_0", "-o", tmp_path / "x.gguf")
    assert called.code == 2 and not list(tmp_path.iterdir())
