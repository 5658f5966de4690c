"""Of several candidates the one that an image encoder, brought by a plugin, scores highest."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from cli_call import Call
from PIL import Image
from safetensors.torch import save_file

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest
from mmgen.pipelines.image import recipe
from mmgen.pipelines.reproduce import reproduce
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime


class Brightness:
    """The brighter the better."""

    name = "brightness"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def score(self, images: torch.Tensor, texts: list[str]) -> torch.Tensor:
        self.asked.append(texts)
        return images.mean((1, 2, 3))


def brightness(image: Image.Image) -> float:
    return float(np.asarray(image, dtype=float).mean())


@pytest.fixture
def encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plug: Callable[..., None]) -> Path:
    """A folder of the kind that the plugin's loader is for."""
    module: Any = ModuleType("brightness")
    module.load = lambda folder, device, name: Brightness()
    monkeypatch.setitem(sys.modules, "brightness", module)
    plug(
        builtin=__import__("mmgen.builtin", fromlist=["register"]).register,
        bright=lambda mm: mm.image_encoders.add("brightness", "brightness:load"),
    )
    folder = tmp_path / "encoder"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "brightness"}')
    save_file({"nothing": torch.zeros(1)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def rt(encoder: Path, stable_diffusion: Path, tmp_path: Path) -> Iterator[Runtime]:
    config = RuntimeConfig(home=tmp_path, device="cpu", denoiser=str(stable_diffusion), image_encoder=str(encoder))
    with Runtime(config) as made:
        yield made


def test_the_best_is_kept(rt: Runtime, tmp_path: Path) -> None:
    draw = Txt2Img(rt)
    every = draw(["a cat", "a dog"], n=3, steps=2, seed=7)
    best = draw(["a cat", "a dog"], best_of=3, steps=2, seed=7)
    for place, candidates in enumerate((range(3), range(3, 6))):
        brightest = max(candidates, key=lambda number: brightness(every.images[number]))
        assert best.seeds[place] == best.recipes[place].seed == every.seeds[brightest]
        assert abs(brightness(best.images[place]) - brightness(every.images[brightest])) < 1
    asked = rt.image_encoder().asked  # type: ignore[attr-defined]
    assert sorted(asked) == [["a cat"] * 3, ["a dog"] * 3]
    path, _ = best.save(tmp_path / "{n}.png")
    assert reproduce(rt, path).difference <= 1


def test_events_are_of_images(rt: Runtime) -> None:
    events = list(Txt2Img(rt).stream("a cat", n=2, best_of=3, steps=4, seed=5, preview_every=2))
    assert events[0].value == [5, 8]
    steps = [event.value for event in events if event.kind == "step"]
    assert {(one.image, one.of) for one in steps} == {(0, 12), (1, 12)} and len(steps) == 24
    assert [one.step for one in steps if one.image == 1] == list(range(1, 13))
    assert [event.value.index for event in events if event.kind == "preview"] == [0, 1]
    assert sorted(event.value.index for event in events if event.kind == "image") == [0, 1]
    assert [seed // 3 for seed in (one - 5 for one in events[-1].value.seeds)] == [0, 1]


def test_a_file_is_called_by_the_seed_that_was_chosen(
    call: Call, encoder: Path, home: Path, stable_diffusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"denoiser: {stable_diffusion}\nimage_encoder: {encoder}\ndevice: cpu\n")
    monkeypatch.chdir(tmp_path)
    called = call("txt2img", "a cat", "-n", 3, "--best-of", 3, "--seed", 0, "--steps", 1, "-o", "{seed}.png")
    found = sorted(tmp_path.glob("*.png"))
    assert called.code == 0 and len(found) == 3
    seeds = [recipe.read(path).seed for path in found]
    assert [path.stem for path in found] == [str(seed) for seed in seeds] and [seed // 3 for seed in seeds] == [0, 1, 2]


def test_nobody_who_can_choose(studio: Runtime) -> None:
    config = studio.config.model_copy(update={"image_encoder": "embedded:minilm"})
    with Runtime(config) as rt, pytest.raises(BadRequest, match="embedded:minilm is of kind encoder, not image encoder"):
        Txt2Img(rt)("a cat", best_of=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"best_of": 0}, "best_of is 0; it can be 1 to 1000"),
        ({"best_of": 600, "n": 2}, "2 images with best_of 600 are 1200 to draw; draw 1000 at most at once"),
    ],
)
def test_values_out_of_range(studio: Runtime, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        Txt2Img(studio)("a cat", **options)
