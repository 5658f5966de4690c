"""Parts of diffusers folders under every spelling of their files; test_denoiser.py has what is wrong with one."""

from pathlib import Path
from shutil import copytree

import pytest
import torch
from variant_files import SPELLINGS, respell

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.pretrained import plainly_named
from mmgen.models.diffusion.denoiser import DenoiserModel


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
    with plainly_named(part) as place:
        assert place == part
    respell(part / "diffusion_pytorch_model.safetensors", spelling)
    with plainly_named(part) as place:
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
