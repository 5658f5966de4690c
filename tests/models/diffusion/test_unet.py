"""Our own UNet: to the bit what diffusers' class gives with the same kernels, and what it leaves to that class."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.diffusion import unet
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.fused_layers import fuse

SHAPE: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 16), "norm_num_groups": 4, "cross_attention_dim": 12,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"attention_head_dim": 2, "layers_per_block": 1},
    "ours": {
        "attention_head_dim": (2, 4),
        "class_embed_type": "projection",
        "projection_class_embeddings_input_dim": 12,
        "resnet_time_scale_shift": "scale_shift",
    },
    "linear": {
        "attention_head_dim": (4, 2),
        "use_linear_projection": True,
        "transformer_layers_per_block": (1, 2),
        "block_out_channels": (8, 12),
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 12,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    },
}


def inputs(theirs: Any, side: int) -> dict[str, Tensor]:
    told = {
        "sample": torch.randn(2, 3, side, side),
        "timestep": torch.tensor([3, 977]),
        "encoder_hidden_states": torch.randn(2, 5, 12),
        "encoder_attention_mask": torch.tensor([[True] * 5, [True] * 2 + [False] * 3]),
    }
    return told | ({"class_labels": torch.randn(2, 12)} if theirs.config.class_embed_type else {})


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_gives_what_diffusers_gives(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs: Any = UNet2DConditionModel(**SHAPE | KINDS[kind])
    hold(theirs).eval().save_pretrained(tmp_path)
    ours = unet.read(tmp_path)
    assert ours is not None and hold(ours) is ours
    assert set(ours.state_dict()) == set(theirs.state_dict())
    for side in (8, 6, 5):  # 5: a size that halving does not divide
        told = inputs(theirs, side)
        plain = theirs(**told, return_dict=False)[0]
        torch.testing.assert_close(ours(**told)[0], plain, rtol=1e-4, atol=1e-5)
    told.pop("encoder_attention_mask")
    assert torch.equal(ours(**told)[0], fuse(hold(unet.diffusers_unet(ours)))(**told, return_dict=False)[0])


@torch.inference_mode()
def test_the_embedded_model_is_drawn_by_it_as_diffusers_draws() -> None:
    model = DenoiserModel.load(Path("assets/models/emoji"))
    assert isinstance(model.unet, unet.ConditionalUNet)
    theirs: Any = UNet2DConditionModel.from_pretrained("assets/models/emoji/unet", dtype=torch.float32)
    (prompt, nothing), x = model.embed_prompts(["a red apple", ""]), torch.randn(2, 12, 16, 16)
    ours = model.predict(x, torch.tensor([500, 500]), [prompt, nothing])
    model.unet = fuse(hold(theirs.eval()))
    assert torch.equal(ours, model.predict(x, torch.tensor([500, 500]), [prompt, nothing]))


def test_a_file_that_is_not_whole_is_told(tmp_path: Path) -> None:
    theirs: Any = UNet2DConditionModel(**SHAPE | KINDS["plain"])
    theirs.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"layers_per_block": 2}))
    with pytest.raises(BadWeights, match="lack"):
        unet.read(tmp_path)
    (tmp_path / unet.FILE).write_bytes(b"not safetensors")
    with pytest.raises(BadWeights, match="damaged"):
        unet.read(tmp_path)
