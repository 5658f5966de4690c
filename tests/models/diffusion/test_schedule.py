from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers.training_utils import compute_snr

from mmgen.errors import ConfigError
from mmgen.models.diffusion.schedule import BETAS, PREDICTIONS, NoiseSchedule

TIMESTEPS = torch.tensor([0, 1, 250, 700, 999])


def pair(config: dict[str, Any]) -> tuple[NoiseSchedule, diffusers.DDPMScheduler]:
    return NoiseSchedule.from_config(config), diffusers.DDPMScheduler(**config)


@pytest.mark.parametrize("zero_snr", [False, True])
@pytest.mark.parametrize("betas", BETAS)
def test_forward_process_equals_diffusers(betas: str, zero_snr: bool) -> None:
    ours, theirs = pair({"beta_schedule": betas, "rescale_betas_zero_snr": zero_snr})
    assert torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod)
    assert (ours.alphas_cumprod[-1] == 0) == zero_snr
    clean, noise = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.add_noise(clean, noise, TIMESTEPS), theirs.add_noise(clean, noise, TIMESTEPS))
    torch.testing.assert_close(ours.velocity(clean, noise, TIMESTEPS), theirs.get_velocity(clean, noise, TIMESTEPS))
    torch.testing.assert_close(ours.snr(TIMESTEPS), compute_snr(theirs, TIMESTEPS))


def test_the_target_is_what_the_model_predicts() -> None:
    clean, noise = torch.ones(1, 2, 2), torch.full((1, 2, 2), 3.0)
    at = torch.tensor([300])
    targets = {kind: NoiseSchedule.from_config({"prediction_type": kind}).target(clean, noise, at) for kind in PREDICTIONS}
    assert torch.equal(targets["epsilon"], noise)
    assert torch.equal(targets["sample"], clean)
    signal = NoiseSchedule.from_config({}).alphas_cumprod[300].sqrt()
    torch.testing.assert_close(targets["v_prediction"], signal * noise - (1 - signal**2).sqrt() * clean)


def test_min_snr_weights_are_those_of_diffusers_training_scripts() -> None:
    snr = NoiseSchedule.from_config({}).snr(TIMESTEPS)
    clipped = torch.stack((snr, torch.full_like(snr, 5.0))).min(dim=0).values
    expected = {"epsilon": clipped / snr, "v_prediction": clipped / (snr + 1), "sample": clipped}
    for prediction, weight in expected.items():
        ours = NoiseSchedule.from_config({"prediction_type": prediction}).loss_weight(TIMESTEPS, gamma=5.0)
        torch.testing.assert_close(ours, weight)


def test_all_predictions_weigh_an_error_of_x0_alike() -> None:
    """Errors of one x0 prediction, seen as noise, velocity and x0, get one loss."""
    clean, noise = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guess = clean + 0.1 * torch.randn(5, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    losses = {}
    for prediction in PREDICTIONS:
        schedule = NoiseSchedule.from_config({"prediction_type": prediction})
        alpha = schedule.alphas_cumprod[TIMESTEPS].double().sqrt()[:, None]
        sigma = (1 - alpha**2).sqrt()
        implied = (alpha * clean + sigma * noise - alpha * guess) / sigma
        output = {"epsilon": implied, "v_prediction": alpha * implied - sigma * guess, "sample": guess}[prediction]
        error = (output - schedule.target(clean, noise, TIMESTEPS)).square().mean(dim=1)
        losses[prediction] = schedule.loss_weight(TIMESTEPS, gamma=5.0) * error
    torch.testing.assert_close(losses["epsilon"], losses["sample"], rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["v_prediction"], losses["sample"], rtol=1e-4, atol=0)


def test_without_gamma_epsilon_is_not_weighted() -> None:
    zero_snr = NoiseSchedule.from_config({"rescale_betas_zero_snr": True})
    assert torch.equal(zero_snr.loss_weight(TIMESTEPS), torch.ones(5))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"beta_schedule": "scaled-linear"}, r'did you mean "scaled_linear"\?'),
        ({"prediction_type": "flow_prediction"}, "epsilon, v_prediction, sample"),
        ({"thresholding": True}, "thresholding"),
        ({"use_flow_sigmas": True}, "use_flow_sigmas"),
        ({"beta_start": "low"}, "gives no betas"),
        ({"num_train_timesteps": -5}, "gives no betas"),
        ({"trained_betas": [0.1, 1.5]}, "between 0 and 1"),
        ({"trained_betas": []}, "between 0 and 1"),
    ],
)
def test_configurations_that_cannot_be_understood(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NoiseSchedule.from_config(config)


def test_a_saved_scheduler_configuration_is_read(tmp_path: Any) -> None:
    import json

    diffusers.DDIMScheduler(beta_schedule="scaled_linear", steps_offset=1, prediction_type="v_prediction").save_pretrained(
        tmp_path
    )
    schedule = NoiseSchedule.from_config(json.loads((tmp_path / "scheduler_config.json").read_text()))
    assert schedule.prediction == "v_prediction"
    assert schedule.train_steps == 1000
    assert schedule.option("steps_offset", 0) == 1
    assert schedule.option("trained_betas", None) is None


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler", "CMStochasticIterativeScheduler"])
def test_other_noise_levels_are_refused(name: str) -> None:
    """Read as betas they would draw something else, unseen."""
    with pytest.raises(ConfigError, match=f"noise levels are those of {name}, which are not covered"):
        NoiseSchedule.from_config({"_class_name": name})
