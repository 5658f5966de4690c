import pytest
import torch

from mmgen.training.eval.retrieval_metrics import accuracy, both_ways, recall


def test_recall_counts_what_stands_before_its_own() -> None:
    candidates = torch.eye(6)
    queries = torch.tensor([[9.0, 1, 1, 1, 1, 1], [2.0, 1, 3, 4, 5, 6], [2, 9.0, 1, 1, 1, 1], [1.0, 7, 6, 5, 4, 3]])
    own = torch.zeros(4, 6, dtype=torch.bool)
    own[0, 0] = own[1, 0] = own[2, 0] = own[3, 0] = True
    assert recall(queries, candidates, own) == {"R@1": 0.25, "R@5": 0.75}
    own[1, 5] = True  # a second right one, and the nearest
    assert recall(queries, candidates, own) == {"R@1": 0.5, "R@5": 0.75}


def test_equal_scores_and_nothing_to_find_are_no_hits() -> None:
    same = torch.tensor([[True, False, False], [False, False, False]])
    assert recall(torch.zeros(2, 4), torch.zeros(3, 4), same) == {"R@1": 0.0, "R@5": 0.5}


def test_images_of_one_caption_are_right_alike() -> None:
    images = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1]])
    texts = torch.tensor([[1.0, 0], [1.0, 0], [0, 1]])
    found = both_ways(images, texts, ["a cat", "a cat", "a dog"])
    assert found["text to image R@1"] == found["image to text R@1"] == 1.0
    assert both_ways(images, texts, ["a cat", "a tom", "a dog"])["text to image R@1"] == pytest.approx(2 / 3)


def test_accuracy_is_of_the_nearest_label() -> None:
    images, labels = torch.tensor([[1.0, 0], [0, 1], [0.9, 0.1], [0.8, 0.2]]), torch.eye(2)
    assert accuracy(images, labels, torch.tensor([0, 1, 1, 0])) == 0.75
