"""Parts of diffusers folders: whole and equal to what was saved, under every spelling of their files, or one line of error."""

import json
import logging
from pathlib import Path
from shutil import copytree

import pytest
import torch
from diffusers import UNet2DModel
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save_file
from variant_files import SPELLINGS, respell

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.diffusion.denoiser import DenoiserModel

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def unet() -> UNet2DModel:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "block_out_channels": (8,)}
    return UNet2DModel(sample_size=8, layers_per_block=1, norm_num_groups=4, add_attention=False, **blocks)


@pytest.fixture
def folder(unet: UNet2DModel, tmp_path: Path) -> Path:
    unet.save_pretrained(tmp_path / "unet")
    return tmp_path / "unet"


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_all_that_was_saved(unet: UNet2DModel, variant: str | None, tmp_path: Path) -> None:
    (unet.half() if variant else unet).save_pretrained(tmp_path, variant=variant)
    assert pretrained.class_name(tmp_path) == "UNet2DModel"
    loaded = pretrained.load(UNet2DModel, tmp_path, "cpu", torch.float32)
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
    for name, tensor in unet.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.float()), name


def test_a_missing_tensor_is_named(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({name: tensor for name, tensor in tensors.items() if name != "conv_in.bias"}, folder / WEIGHTS)
    with pytest.raises(BadWeights, match=r"unet lacks conv_in\.bias; fetch the model again"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)
    kept = sorted(tensors)[6:]
    save_file({name: tensors[name] for name in kept}, folder / WEIGHTS)
    with pytest.raises(BadWeights, match=r"unet lacks (\S+, ){3}\S+ and 2 more; fetch"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)


def test_another_shape_and_damage(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    save_file({**tensors, "conv_in.bias": tensors["conv_in.bias"] * torch.nan}, folder / WEIGHTS)
    with pytest.raises(BadWeights, match=r"unet holds numbers that are none in conv_in\.bias"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)
    save_file({**tensors, "conv_in.bias": torch.zeros(3)}, folder / WEIGHTS)
    with pytest.raises(BadWeights, match=r"unet (cannot be read as UNet2DModel|has 1 tensors of another shape)"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)
    (folder / WEIGHTS).write_bytes(b"no tensors")
    with pytest.raises(BadWeights, match=r"cannot be read as UNet2DModel \(.*\); fetch the model again"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)


def test_pickles_are_never_read(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "diffusion_pytorch_model.bin")
    with pytest.raises(BadWeights, match=r"holds only pickled weights, which can run code when read; convert them: python -c"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)
    (folder / "diffusion_pytorch_model.bin").unlink()
    with pytest.raises(BadWeights, match=r"holds no \*\.safetensors"):
        pretrained.load(UNet2DModel, folder, "cpu", torch.float32)


@pytest.mark.parametrize(
    ("config", "name"),
    [({"_class_name": "AutoencoderKL"}, "AutoencoderKL"), ({"architectures": ["CLIPTextModel", "Other"]}, "CLIPTextModel")],
)
def test_the_class_that_a_configuration_names(config: dict[str, object], name: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert pretrained.class_name(tmp_path) == name
    (tmp_path / "config.json").write_text('{"architectures": []}')
    with pytest.raises(BadWeights, match=r"config\.json names no class; it is not of a diffusers checkpoint"):
        pretrained.class_name(tmp_path)


def test_the_libraries_are_quiet_only_meanwhile() -> None:
    before = diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()
    with pytest.raises(KeyError), pretrained.quiet():
        assert diffusers_logging.get_verbosity() == logging.CRITICAL and not diffusers_logging.is_progress_bar_enabled()
        raise KeyError
    assert (diffusers_logging.get_verbosity(), diffusers_logging.is_progress_bar_enabled()) == before


def test_a_librarys_message_on_one_line() -> None:
    assert pretrained.brief(ValueError("on two\n  lines")) == "on two lines" and pretrained.brief(KeyError()) == "KeyError"
    assert pretrained.brief(OSError("x" * 200)) == "x" * 160 + "..."


@pytest.fixture
def copy(stable_diffusion: Path, tmp_path: Path) -> Path:
    return copytree(stable_diffusion, tmp_path / "copy")


def predicted(folder: Path) -> torch.Tensor:
    model = DenoiserModel.load(folder)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return model.predict(x, torch.tensor([500.0]), model.embed_prompts(["a cat"]))


@pytest.mark.parametrize("index", [True, False])
def test_every_part_in_another_spelling(copy: Path, stable_diffusion: Path, index: bool) -> None:
    unet, vae, text = (next((copy / part).glob("*.safetensors")) for part in ("unet", "vae", "text_encoder"))
    respell(unet, "variant, shards", index)
    respell(vae, "variant")
    respell(text, "shards, variant", index)
    assert hub.resolve(str(copy)) == copy
    torch.testing.assert_close(predicted(copy), predicted(stable_diffusion), atol=1e-5, rtol=0)


@pytest.mark.parametrize("spelling", list(SPELLINGS))
def test_links_and_what_they_leave_out(copy: Path, spelling: str) -> None:
    part = copy / "unet"
    with pretrained.plainly_named(part) as place:
        assert place == part
    respell(part / "diffusion_pytorch_model.safetensors", spelling)
    with pretrained.plainly_named(part) as place:
        assert place != part and place.name == "unet" and (place / "config.json").is_file()
        assert all("fp16" not in path.name for path in place.iterdir())
    assert not place.exists()


def test_a_part_that_lacks_weights(copy: Path) -> None:
    respell(copy / "unet" / "diffusion_pytorch_model.safetensors", "shards, variant")
    first = copy / "unet" / "diffusion_pytorch_model-00001-of-00002.fp16.safetensors"
    first.unlink()
    with pytest.raises(BadWeights, match=rf"unet lacks {first.name}, one of its shards; copy or download it again"):
        hub.resolve(str(copy))
    (copy / "unet" / "diffusion_pytorch_model-00002-of-00002.fp16.safetensors").unlink()
    with pytest.raises(
        BadWeights, match=r"unet holds no \*\.safetensors, which its config\.json and model_index\.json ask for"
    ):
        hub.resolve(str(copy))
