"""Mistral's own files: the same logits as transformers with the files that it reads."""

import json
import re
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from safetensors.torch import load_file, save_file

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.mistral_native import config
from mmgen.models.lm import families, language_model

IDS = torch.arange(2 * 24).view(2, 24) * 7 % checkpoints.VOCABULARY
NATIVE = {
    "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output", "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm", "self_attn": "attention", "q_proj": "wq", "k_proj": "wk", "v_proj": "wv",
    "o_proj": "wo", "mlp": "feed_forward", "gate_proj": "w1", "down_proj": "w2", "up_proj": "w3", "model.layers": "layers",
}  # fmt: skip


def side_by_side(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Row by row: transformers' first and second half of a head -> neighbours."""
    size = len(tensor) // heads
    rows = [head * size + half * (size // 2) + n for head in range(heads) for n in range(size // 2) for half in range(2)]
    return tensor[rows]


def native(folder: Path, family: str, alone: bool = True) -> Any:
    """Rewrites a folder of transformers' as Mistral's; its model."""
    theirs = checkpoints.saved(checkpoints.FAMILIES[family], folder)
    out = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if heads := {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2]):
            tensor = side_by_side(tensor, heads)
        for ours, other in NATIVE.items():
            name = re.sub(rf"(^|(?<=\.)){re.escape(ours)}(?=\.)", other, name)
        out[name] = tensor.contiguous()
    (folder / "model.safetensors").unlink()
    save_file(out, folder / "consolidated.safetensors")
    told = theirs.config
    params = {
        "dim": told.hidden_size, "n_layers": told.num_hidden_layers, "head_dim": told.hidden_size // told.num_attention_heads,
        "hidden_dim": told.intermediate_size, "n_heads": told.num_attention_heads, "n_kv_heads": told.num_key_value_heads,
        "norm_eps": told.rms_norm_eps, "vocab_size": told.vocab_size, "max_seq_len": told.max_position_embeddings,
        "sliding_window": told.sliding_window, "rope_theta": told.rope_parameters["rope_theta"],
    }  # fmt: skip
    if family == "mixtral":
        params["moe"] = {"num_experts": told.num_local_experts, "num_experts_per_tok": told.num_experts_per_tok}
    (folder / "params.json").write_text(json.dumps(params))
    if alone:
        (folder / "config.json").unlink()
    return theirs


@pytest.mark.parametrize("family", ["mistral", "mixtral"])
@pytest.mark.parametrize("alone", [True, False], ids=["params.json", "config.json"])
@torch.inference_mode()
def test_logits(tmp_path: Path, family: str, alone: bool) -> None:
    theirs = native(tmp_path, family, alone)
    assert hub.resolve(str(tmp_path)) == tmp_path
    expected = theirs(input_ids=IDS).logits
    torch.testing.assert_close(language_model.load(tmp_path)(IDS), expected, atol=1e-4 * float(expected.abs().max()), rtol=0)


def test_what_params_json_says(tmp_path: Path) -> None:
    native(tmp_path, "mistral")
    values = config(tmp_path)
    assert values is not None and (values["model_type"], values["eos_token_id"]) == ("mistral", 2)
    assert families.shape(tmp_path).window == 8
    params = json.loads((tmp_path / "params.json").read_text())
    (tmp_path / "params.json").write_text(json.dumps({**params, "vision_encoder": {"hidden_size": 1}}))
    with pytest.raises(BadWeights, match=r"params\.json asks for vision_encoder, which is not read; take the files that"):
        language_model.load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert config(tmp_path) is None


def test_a_tensor_of_another_name(tmp_path: Path) -> None:
    native(tmp_path, "mistral")
    tensors = load_file(tmp_path / "consolidated.safetensors")
    save_file({**tensors, "layers.0.attention.wx.weight": torch.ones(2)}, tmp_path / "consolidated.safetensors")
    with pytest.raises(BadWeights, match=r"holds layers\.0\.attention\.wx\.weight, which is no tensor of a Mistral"):
        language_model.load(tmp_path)
