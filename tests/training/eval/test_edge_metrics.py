import pytest
import torch
import torch.nn.functional as F

from mmgen.training.eval import edge_metrics


def square() -> torch.Tensor:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 10:22, 10:22] = 1
    return image


def test_the_true_image_is_as_sharp_and_as_flat_as_can_be() -> None:
    assert edge_metrics.measured(square(), square()) == {"psnr": pytest.approx(100), "sharpness": 1, "ripple": 0}


def test_a_blurred_edge() -> None:
    blurred = F.avg_pool2d(F.pad(square(), (2, 2, 2, 2)), 5, stride=1)
    found = edge_metrics.measured(blurred, square())
    assert found["sharpness"] == pytest.approx(0.2, abs=0.05) and found["ripple"] < 1
    error = float(((blurred - square()) ** 2).mean())
    assert found["psnr"] == pytest.approx(-10 * torch.tensor(error).log10().item(), abs=1e-3)


def test_an_edge_that_has_moved_a_little_is_as_sharp() -> None:
    assert edge_metrics.measured(square().roll(2, -1), square())["sharpness"] == pytest.approx(1, abs=0.15)


def test_ripple_where_there_is_one_colour() -> None:
    rough = square()
    rough[..., ::2, :] += 2 / 255
    assert edge_metrics.measured(rough, square())["ripple"] == pytest.approx(2, abs=0.15)  # the last row has none below
