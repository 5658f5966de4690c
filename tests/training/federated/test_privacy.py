"""Clipping, noise and what they spend, by hand."""

import math
from statistics import NormalDist

import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.training.federated.messages import norm
from mmgen.training.federated.privacy import PrivacyConfig, PrivateMean, epsilon

LIKE = {"w": torch.zeros(3, 4), "b": torch.zeros(5)}


def updates(*lengths: float) -> dict[str, dict[str, torch.Tensor]]:
    """Clients' updates of these norms."""
    generator, made = torch.Generator().manual_seed(0), {}
    for number, length in enumerate(lengths):
        one = {name: torch.randn(tensor.shape, generator=generator) for name, tensor in LIKE.items()}
        made[f"c{number}"] = {name: tensor * (length / norm(one)) for name, tensor in one.items()}
    return made


def private(expected: float, **more: object) -> PrivateMean:
    return PrivateMean(PrivacyConfig(**{"noise": 1e-9, "clip": 1.0, "quantile": None, **more}), expected)  # type: ignore[arg-type]


def test_long_updates_are_shortened_and_those_expected_divide() -> None:
    given = updates(0.5, 4.0)
    mean = private(3.0).mean(given, LIKE, 0)
    for name in LIKE:
        assert torch.allclose(mean[name], (given["c0"][name] + given["c1"][name] / 4) / 3, atol=1e-6)


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e6])
def test_one_client_changes_the_sum_by_the_clip_norm_at_most(length: float) -> None:
    given, one = updates(2.0, 0.3, length), private(4.0, clip=0.7)
    whole = one.mean(given, LIKE, 0)
    given.pop("c2")
    without = one.mean(given, LIKE, 0)
    assert 4 * norm({name: whole[name] - without[name] for name in LIKE}) <= 0.7 * (1 + 1e-4)


def test_noise_has_its_deviation_and_is_the_run_s_own() -> None:
    like = {"w": torch.zeros(20_000)}
    one, other = private(5.0, noise=2.0, clip=0.3), private(5.0, noise=2.0, clip=0.3)
    first = one.mean({}, like, 0)["w"]
    assert float(first.std()) == pytest.approx(2.0 * 0.3 / 5, rel=0.03) and abs(float(first.mean())) < 0.005
    other_run = other.mean({}, like, 0)["w"]
    assert not torch.equal(first, other_run) and not torch.equal(first, one.mean({}, like, 1)["w"])
    other.load(one.state())
    assert torch.equal(first, other.mean({}, like, 0)["w"]), "a resumed run repeats its round to the bit"


def test_the_clip_norm_follows_the_quantile() -> None:
    """Andrew et al. 2021, algorithm 1: downwards where more than the quantile's share are within, and upwards where fewer."""
    given = updates(0.1, 0.2, 0.3, 5.0)
    one = private(4.0, quantile=0.5, clip_rate=0.2, count_noise=1e-6, noise=1e-7)
    one.mean(given, LIKE, 0)
    assert one.clip == pytest.approx(math.exp(-0.2 * (0.75 - 0.5)), rel=1e-4)
    short = private(4.0, quantile=0.5, clip=0.01, count_noise=1e-6, noise=1e-7)
    for number in range(100):
        short.mean(given, LIKE, number)
    assert 0.15 < short.clip < 0.35


def test_noise_of_the_count_is_a_part_of_the_whole() -> None:
    one = private(100.0, quantile=0.5, noise=1.0)
    assert one.count_noise == 5 and one.noise**-2 + (2 * 5.0) ** -2 == pytest.approx(1.0)
    with pytest.raises(BadRequest, match=r"privacy.noise 1 is not below 2 x count_noise 0.4.*above 0.5"):
        private(8.0, quantile=0.5, noise=1.0)


def test_each_client_is_asked_by_its_own_chance() -> None:
    one = private(8.0)
    asked = sum(one.asked(f"c{client}", number, 0.25) for client in range(8) for number in range(500))
    assert 850 < asked < 1150 and all(one.asked("a", number, 1.0) for number in range(50))


def gaussian_delta(noise: float, spent: float) -> float:
    """Of the Gaussian mechanism with sensitivity 1: Balle and Wang 2018 (arXiv 1805.06530), theorem 8."""
    phi = NormalDist().cdf
    return phi(0.5 / noise - spent * noise) - math.exp(spent) * phi(-0.5 / noise - spent * noise)


@pytest.mark.slow
def test_what_is_spent() -> None:
    """All clients in each of 10 rounds: the rounds are one Gaussian mechanism of less noise, whose exact delta is known.
    Slow, as opacus takes seconds to import."""
    config = PrivacyConfig(noise=4.0, delta=1e-5)
    found = epsilon(config, 1.0, 10)
    assert gaussian_delta(4.0 / math.sqrt(10), found) <= 1e-5 < gaussian_delta(4.0 / math.sqrt(10), 0.8 * found)
    assert epsilon(config, 1.0, 20) > found > epsilon(config, 0.1, 10)
