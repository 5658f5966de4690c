import numpy as np
import torch
from emoji_folder import drawings  # noqa: F401  a fixture
from emoji_folder import images as dataset  # noqa: F401  a fixture
from torch import Tensor

from mmgen.training.data import augmentations
from mmgen.training.data.emoji_images import EmojiImages
from mmgen.training.eval.reference_images import ReferenceImages

# ruff: noqa: F811


def test_ranks_among_candidates() -> None:
    gallery = ReferenceImages(torch.tensor([7, 7, 9, 11]), torch.eye(4))
    things = torch.tensor([9, 7, 11])
    seen = torch.tensor([[0.1, 0.9, 0.3, 0.0], [0.2, 0.1, 0.0, 0.8]])
    assert torch.equal(gallery.scores(seen, things), torch.tensor([[0.3, 0.9, 0.0], [0.0, 0.2, 0.8]]))
    assert gallery.ranks(seen, torch.tensor([7, 7]), things).tolist() == [0, 1]


def test_every_vendors_drawing_is_in_it(dataset: EmojiImages) -> None:
    def mean(images: Tensor) -> Tensor:
        return torch.nn.functional.normalize(images.mean((2, 3)) + 2, dim=1)

    gallery = ReferenceImages.of(mean, dataset, [3, 5])
    assert gallery.things.tolist() == [3] * int((dataset.table[3] >= 0).sum()) + [5] * int((dataset.table[5] >= 0).sum())
    first = augmentations.clean(dataset, np.array([3]), np.array([int(np.flatnonzero(dataset.table[3] >= 0)[0])]))
    torch.testing.assert_close(gallery.vectors[:1], mean(first))
