"""Upscalers from their files: shapes and names of all kinds, tiles without seams, and what is none."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.diffusion import autoencoder
from mmgen.models.diffusion.upscalers import image_upscaler
from mmgen.models.diffusion.upscalers.compact import CompactNet
from mmgen.models.diffusion.upscalers.esrgan import RRDBNet


def old_names(tensors: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """ESRGAN's of 2018, for a scale of 4."""
    places = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_up1": "model.3", "conv_up2": "model.6",
              "conv_hr": "model.8", "conv_last": "model.10"}  # fmt: skip
    out = {}
    for name, one in tensors.items():
        path, _, end = name.rpartition(".")
        if path.startswith("body."):
            _, block, inner, layer = path.split(".")
            path = f"model.1.sub.{block}.RDB{inner[-1]}.{layer}.0"
        out[f"{places.get(path, path)}.{end}"] = one
    return out


def loaded(tensors: dict[str, Tensor], path: Path) -> Any:
    save_file({name: one.contiguous() for name, one in tensors.items()}, path)
    return image_upscaler.load(path)


@pytest.mark.parametrize(("ups", "fold", "scale"), [(2, 1, 4), (2, 2, 2), (2, 4, 1), (1, 1, 2)])
def test_real_esrgan(ups: int, fold: int, scale: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made, x = RRDBNet(8, 4, 2, ups, fold).eval(), torch.rand(1, 3, 9, 10)
    found = loaded({f"params_ema.{name}": one for name, one in made.state_dict().items()}, tmp_path / "x.safetensors")
    assert found.factor == scale
    with torch.no_grad():
        expected = (made(x) * 2 - 1).clamp(-1, 1)
    assert expected.shape == (1, 3, 9 * scale, 10 * scale)
    assert torch.allclose(found.decode(x * 2 - 1), expected, atol=1e-5)


def test_the_first_names(tmp_path: Path) -> None:
    """And the network, written out once more from the paper."""
    torch.manual_seed(0)
    made, x = RRDBNet(8, 4, 1, 2, 1).eval(), torch.rand(1, 3, 5, 6)
    weights = made.state_dict()
    found = loaded(old_names(weights, 1), tmp_path / "x.safetensors")

    def conv(x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    feature = conv(x, "conv_first")
    trunk = feature
    for block in ("rdb1", "rdb2", "rdb3"):
        seen = trunk
        for n in range(1, 5):
            seen = torch.cat((seen, F.leaky_relu(conv(seen, f"body.0.{block}.conv{n}"), 0.2)), 1)
        trunk = trunk + 0.2 * conv(seen, f"body.0.{block}.conv5")
    out = feature + conv(feature + 0.2 * trunk, "conv_body")
    for name in ("conv_up1", "conv_up2"):
        out = F.leaky_relu(conv(out.repeat_interleave(2, 2).repeat_interleave(2, 3), name), 0.2)
    out = conv(F.leaky_relu(conv(out, "conv_hr"), 0.2), "conv_last")
    assert torch.allclose(found.decode(x * 2 - 1), (out * 2 - 1).clamp(-1, 1), atol=1e-5)


def test_the_small_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made, x = CompactNet(8, 3, 3).eval(), torch.rand(1, 3, 5, 6)
    found = loaded(dict(made.state_dict()), tmp_path / "x.safetensors")
    with torch.no_grad():
        expected = (made(x) * 2 - 1).clamp(-1, 1)
    assert found.factor == 3 and torch.allclose(found.decode(x * 2 - 1), expected, atol=1e-5)


def test_tiles_leave_no_seams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sees fewer pixels than tiles overlap gives the same as in one piece."""
    torch.manual_seed(0)
    found = loaded(dict(CompactNet(8, 2, 2).state_dict()), tmp_path / "x.safetensors")
    x = torch.rand(1, 3, 70, 90) * 2 - 1
    whole = autoencoder.decode(found, x)
    monkeypatch.setattr(autoencoder, "WHOLE", 1)
    monkeypatch.setattr(found, "edge", 40, raising=False)
    tiled = autoencoder.decode(found, x)
    assert tiled.shape == whole.shape == (1, 3, 140, 180)
    steps = (tiled - whole).abs().max()
    assert steps < 0.15 and (tiled - whole)[..., 20:-20, 20:-20].abs().mean() < 2e-3


def test_spandrels_own_networks(tmp_path: Path) -> None:
    """ESRGAN's and the compact ones by our modules; SPAN, and DITN, which reads multiples of eight alone, by spandrel's."""
    spandrel = pytest.importorskip("spandrel", exc_type=ImportError)
    from spandrel.architectures.Compact import Compact
    from spandrel.architectures.DITN import DITN
    from spandrel.architectures.ESRGAN import ESRGAN
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    x = torch.rand(1, 3, 9, 10)
    for made, ours in (
        (ESRGAN(num_filters=32, num_blocks=1, scale=4), True),
        (Compact(num_feat=8, num_conv=2, upscale=2), True),
        (SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2, norm=False), False),
        (DITN(dim=8, ITL_blocks=1, SAL_blocks=1, UFONE_blocks=1, upscale=2), False),
    ):
        weights = {name: one.clone() for name, one in made.state_dict().items()}
        expected = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(weights))(x) * 2 - 1
        found = loaded(weights, tmp_path / "x.safetensors")
        assert hasattr(found.network, "described") != ours
        assert found.decode(x * 2 - 1).shape == expected.shape == (1, 3, 9 * found.factor, 10 * found.factor)
        assert torch.allclose(found.decode(x * 2 - 1), expected, atol=1e-4), type(made)


def test_what_is_no_upscaler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)  # not installed
    with pytest.raises(BadWeights, match=r"looks like no upscaler that is known here: it holds strange.*mmgen.upscalers."):
        loaded({"strange": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match="looks like a LoRA"):
        loaded({"lora_unet_a.lora_down.weight": torch.zeros(1)}, tmp_path / "x.safetensors")
    weights = dict(RRDBNet(8, 4, 1, 2, 1).state_dict())
    with pytest.raises(BadWeights, match="is an upscaler of another shape than is known here"):
        loaded({**weights, "conv_hr.weight": torch.zeros(3, 8, 3, 3)}, tmp_path / "x.safetensors")
    torch.save(weights, tmp_path / "x.safetensors")
    with pytest.raises(BadWeights, match="is a pickle, which can run code when read"):
        image_upscaler.load(tmp_path / "x.safetensors")
    other: Any = SimpleNamespace(model=CompactNet(4, 1, 2), scale=2, input_channels=3, output_channels=3)
    loader = SimpleNamespace(load_from_state_dict=lambda tensors: other)
    monkeypatch.setitem(sys.modules, "spandrel", SimpleNamespace(ModelLoader=lambda device: loader))
    assert loaded({"strange": torch.zeros(1)}, tmp_path / "x.safetensors").factor == 2
    other.input_channels = 1
    with pytest.raises(BadWeights, match="takes 1 and gives 3 channels"):
        loaded({"strange": torch.zeros(1)}, tmp_path / "x.safetensors")
