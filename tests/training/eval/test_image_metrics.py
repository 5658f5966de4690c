"""True drawings score as true, wrong ones as wrong, copies as copies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from emoji_folder import VENDORS, drawings  # noqa: F401  fixtures
from emoji_folder import images as dataset  # noqa: F401  a fixture
from torch import Tensor, nn

from mmgen.training.data import augmentations
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.data.scene_renderer import Augment
from mmgen.training.eval import image_metrics
from mmgen.training.eval.eval_prompts import EvalPrompt, composition_prompts, retrieval_prompts
from mmgen.training.eval.reference_images import ReferenceImages

# ruff: noqa: F811


def eye(images: Tensor) -> Tensor:
    """Knows an image by its pixels."""
    return nn.functional.normalize(nn.functional.adaptive_avg_pool2d(1 - images, 8).flatten(1), dim=1)


@pytest.fixture(scope="module")
def prompts(dataset: EmojiImages) -> list[EvalPrompt]:
    return retrieval_prompts(dataset, 20)


def clean(dataset: EmojiImages, things: list[int], vendor: int = 0) -> Tensor:
    return augmentations.clean(dataset, np.array(things), np.full(len(things), vendor))


def test_scenes_are_what_prompts_ask_for(dataset: EmojiImages, prompts: list[EvalPrompt]) -> None:
    plain = image_metrics.scenes(dataset, prompts, Augment(mirror=0, shift=False, scale=0))
    for image, prompt in zip(plain, prompts, strict=True):
        assert any(torch.equal(image, clean(dataset, [prompt.a], vendor)[0]) for vendor in (0, 1))
    composed = composition_prompts(dataset, 4, 4, 4)
    assert torch.equal(image_metrics.scenes(dataset, composed), image_metrics.scenes(dataset, composed))


def test_retrieval(dataset: EmojiImages, prompts: list[EvalPrompt]) -> None:
    wanted = [prompt.a for prompt in prompts]
    gallery, images = ReferenceImages.of(eye, dataset, wanted), clean(dataset, wanted)
    assert image_metrics.retrieval(eye, gallery, images, wanted) == {"R@1": 1.0, "R@5": 1.0}
    found = image_metrics.retrieval(eye, gallery, images.roll(1, 0), wanted)
    assert found["R@1"] == 0.0 and found["R@5"] < 0.6


def test_a_hand_that_the_gallery_does_not_know(dataset: EmojiImages, prompts: list[EvalPrompt]) -> None:
    """The vendors of these drawings agree on nothing; where they draw the same, each is found by the other's."""
    wanted = [prompt.a for prompt in prompts]
    assert image_metrics.unknown_hand(eye, dataset, wanted)["R@1"] < 0.5
    pixels = dataset.pixels.clone()
    pixels[dataset.table[wanted, 1]] = pixels[dataset.table[wanted, 0]]
    assert image_metrics.unknown_hand(eye, replace(dataset, pixels=pixels), wanted) == {"R@1": 1.0, "R@5": 1.0}


def test_diversity(dataset: EmojiImages) -> None:
    images = torch.stack([clean(dataset, [n, n, n]) for n in (0, 1, 2)])  # (P, S, 3, H, W)
    found = image_metrics.diversity(eye, images)
    assert found["seeds, looks"] == pytest.approx(0, abs=1e-6) and found["seeds, pixels"] == 0
    turned = image_metrics.diversity(eye, images.transpose(0, 1))
    assert turned["seeds, pixels"] == found["prompts, pixels"] > 0.01 and turned["seeds, looks"] == found["prompts, looks"] > 0
    black_and_white = torch.tensor([-1.0, 1.0])[None, :, None, None, None].expand(2, -1, 3, 8, 8)
    assert image_metrics.diversity(eye, black_and_white)["seeds, pixels"] == 1.0


def test_copies_are_found(dataset: EmojiImages) -> None:
    """Also mirrored and moved by a pixel of 32; what is drawn anew is none."""
    known, wanted = image_metrics.TrainingImages.of(dataset, VENDORS), [3, 4, 5, 6]
    images = clean(dataset, wanted)
    images[1], images[2] = images[1].flip(-1), images[2].roll(2, -1)
    found = known.memorised(images, wanted)
    assert found["copies"] == found["show the wanted thing"] == 1.0 and found["percentile 95"] < 1e-6
    assert known.memorised(images.flip(0), wanted)["show the wanted thing"] == 0.0
    found = known.memorised(1 - (1 - images).roll(32, -1), wanted)
    assert found["copies"] == 0.0 and found["percentile 5"] > found["threshold of a copy"]


def test_the_threshold_is_what_vendors_differ_by(dataset: EmojiImages) -> None:
    known = image_metrics.TrainingImages.of(dataset, VENDORS)
    thing = 7
    (at,) = np.flatnonzero(np.flatnonzero((dataset.table >= 0).all(1)) == thing)
    one, other = (nn.functional.avg_pool2d(clean(dataset, [thing], vendor), 2) for vendor in (0, 1))
    assert float(known.between[at]) == pytest.approx(float((one - other).pow(2).mean().sqrt() / 2), abs=1e-6)
    found = known.memorised(clean(dataset, [thing]), [thing])
    assert found["threshold of a copy"] < found["two vendors' median"] == float(known.between.median())
