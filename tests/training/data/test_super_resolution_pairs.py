from pathlib import Path

import numpy as np
import pytest
from diffusion_models import pixel_model  # noqa: F401  fixture
from emoji_folder import add_vectors, drawing, make, row

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, NotFound
from mmgen.runtime import Runtime
from mmgen.training.data import emoji_dataset, super_resolution_pairs
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.super_resolution_pairs import PairsRecipe, SuperResolutionPairs, is_held_out

# ruff: noqa: F811
pytest.importorskip("resvg_py")
RECIPE = PairsRecipe(
    vendors=("noto",), leave_out=(), unknown=(), count=3, held_out=2, steps=4, strength=(0.3, 0.5), redrawn=0.7
)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three things, one of which is held out."""
    names = sorted((f"thing {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), key=is_held_out)
    rows = [row("noto", name) for name in (*names[:2], names[-1])]
    folder = tmp_path_factory.mktemp("few") / "data"
    emoji_dataset.write(folder, rows, [drawing(n, 0) for n in range(len(rows))])
    return add_vectors(folder)


def test_pairs_show_the_same_scene(pixel_model: Path, few: Path, tmp_path: Path) -> None:
    """The box filter of the large scene is the small one, and so is what the decoder makes of it, about."""
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu", denoiser=str(pixel_model))) as rt:
        client = rt.denoiser()
        done: list[int] = []
        super_resolution_pairs.pairs(tmp_path / "pairs", few, RECIPE, client, lambda n, of: done.append(n))
        super_resolution_pairs.pairs(tmp_path / "again", few, RECIPE, client)
        one, other = (SuperResolutionPairs.open(tmp_path / name / "training") for name in ("pairs", "again"))
        assert done == [3, 2] and len(one) == 3 and one.large.shape == (3, 3, 256, 256)
        assert all((getattr(one, name) == getattr(other, name)).all() for name in super_resolution_pairs.PARTS)
        box = one.large.reshape(3, 3, 64, 4, 64, 4).mean((3, 5))
        assert np.abs(box - one.clean).max() <= 1 and one.clean.std() > 10
        assert one.redrawn.any() and not one.redrawn.all()
        near = np.abs(one.drawn[~one.redrawn].astype(float) - one.clean[~one.redrawn]).mean()
        far = np.abs(one.drawn[one.redrawn].astype(float) - one.clean[one.redrawn]).mean()
        assert near < 6 < far  # a model without decoder gives the scene back; a random denoiser does not


def test_what_is_held_out_is_in_no_other_pair(tmp_path: Path) -> None:
    images = EmojiImages.load(make(tmp_path / "data"))
    things = {name: set() for name in ("training", "held_out")}
    for name, found in things.items():
        pool = super_resolution_pairs.scenes(images, 30, RECIPE, name == "held_out")
        found |= {images.names[n] for n in (*pool.a, *pool.b)}
    assert things["training"] and things["held_out"] and not things["training"] & things["held_out"]
    assert all(map(is_held_out, things["held_out"]))
    few = EmojiImages.load(tmp_path / "data")
    few.names = ["alike"] * len(few.names)
    with pytest.raises(BadRequest, match="take a larger data set"):
        super_resolution_pairs.scenes(few, 3, RECIPE, not is_held_out("alike"))


def test_a_set_without_vectors(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mmgen data emoji NEW"):
        super_resolution_pairs.large_drawings(make(tmp_path / "data"), RECIPE, tmp_path / "drawings.npy")
