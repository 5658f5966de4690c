"""EDM's noise levels against diffusers' schedulers, the solvers that go with them, and what is not covered."""

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, ConfigError
from mmgen.models.diffusion import edm_schedule
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.diffusion.edm_schedule import EDMSchedule
from mmgen.models.diffusion.solver_table import HISTORY, SolverColumn, fused_update, stack
from mmgen.models.diffusion.solvers import tabulate
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.runtime import Runtime

PLAYGROUND = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5, "prediction_type": "epsilon"}
COSXL = {"sigma_min": 0.002, "sigma_max": 120.0, "sigma_data": 1.0, "prediction_type": "v_prediction",
         "sigma_schedule": "exponential"}  # fmt: skip
PEERS: dict[str, Any] = {
    "euler": (diffusers.EDMEulerScheduler, {}),
    "dpm++2m": (diffusers.EDMDPMSolverMultistepScheduler, {}),
    "dpm++2m-sde": (diffusers.EDMDPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}),
}


def model(x: Tensor, timesteps: Tensor) -> Tensor:
    return torch.tanh(x + 0.3 * torch.sin(3 * timesteps.reshape(-1, 1, 1, 1))) * 0.6 + 0.1 * torch.cos(2 * x)


def noise(seed: int) -> Tensor:
    return torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize("config", [PLAYGROUND, COSXL, {**PLAYGROUND, "final_sigmas_type": "sigma_min"}])
@pytest.mark.parametrize("solver", PEERS)
def test_equals_diffusers(solver: str, config: dict[str, Any], steps: int) -> None:
    if steps == 1 and config.get("final_sigmas_type"):
        pytest.skip("diffusers' one step ends where it begins")
    made, more = PEERS[solver]
    peer = made.from_config(config | more)
    peer.set_timesteps(steps)
    x, options = noise(1) * peer.init_noise_sigma, {"generator": torch.Generator().manual_seed(7)}
    for t in peer.timesteps:
        x = peer.step(model(peer.scale_model_input(x, t), t), t, x, **options).prev_sample
    table = tabulate(EDMSchedule.from_config(config), solver, steps)
    assert torch.allclose(table.timesteps, peer.timesteps.float(), atol=1e-4)
    state, generator = table.first(noise(1)), torch.Generator().manual_seed(7)
    history = torch.zeros(1, HISTORY, *state.shape[1:])
    for row in range(steps):
        rows = stack([(table, row)])
        drawn = torch.randn(state.shape, generator=generator) if table.draws(row) else torch.zeros_like(state)
        state, history, _ = fused_update(state, model(state, rows[:, SolverColumn.TIMESTEP]), history, drawn, rows)
    assert (state - x).abs().max() <= 1e-4 * max(1.0, float(x.abs().max()))


@pytest.mark.parametrize("solver", edm_schedule.SOLVERS)
def test_its_solvers(solver: str) -> None:
    """A model that knows the image arrives at it: F = (image - c_skip x) / c_out at every level."""
    schedule, image = EDMSchedule.from_config(PLAYGROUND), noise(3).clamp(-1, 1)
    table = tabulate(schedule, solver, 6)
    state, history = table.first(noise(1)), torch.zeros(1, HISTORY, 3, 4, 4)
    for row in range(len(table)):
        of_x, of_output = table.coefficients[row, 1], table.coefficients[row, 2]
        state, history, _ = fused_update(state, (image - of_x * state) / of_output, history, noise(row), stack([(table, row)]))
    assert torch.allclose(state, image, atol=1e-4)


def test_what_is_not_covered() -> None:
    schedule = EDMSchedule.from_config(PLAYGROUND)
    with pytest.raises(BadRequest, match="solver is 'ddim', but a model with EDM's noise levels is drawn with euler, euler-a"):
        tabulate(schedule, "ddim", 4)
    with pytest.raises(ConfigError, match="prediction_type 'sample' is not one of epsilon, v_prediction"):
        EDMSchedule.from_config({"prediction_type": "sample"})
    with pytest.raises(ConfigError, match="sigma_schedule 'linear' is not one of karras, exponential"):
        EDMSchedule.from_config({"sigma_schedule": "linear"})


def test_a_unet_of_it_draws_as_diffusers_does(tmp_path: Path, stable_diffusion: Path) -> None:
    """From words to pixels; a UNet trained by flow matching likewise, by its steps; others are refused at load."""
    folder = shutil.copytree(stable_diffusion, tmp_path / "edm")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({"_class_name": "EDMDPMSolverMultistepScheduler", **PLAYGROUND}))
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(
        folder, scheduler=diffusers.EDMDPMSolverMultistepScheduler.from_config(PLAYGROUND), safety_checker=None
    )
    theirs.set_progress_bar_config(disable=True)
    few: dict[str, Any] = {"width": 16, "height": 16, "guidance_scale": 3.0, "num_inference_steps": 3}
    expected = theirs("a cat", generator=torch.manual_seed(7), **few).images[0]
    with Runtime(RuntimeConfig(home=tmp_path, denoiser=f"{folder}#fp32", plugins=())) as rt:
        drawn = Txt2Img(rt)("a cat", steps=3, guidance=3.0, seed=7, width=16, height=16).images[0]
    assert np.abs(np.asarray(drawn, int) - np.asarray(expected, int)).max() <= 1
    config.write_text(json.dumps({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 2.0}))
    model = DenoiserModel.load(folder)
    schedule = diffusers.FlowMatchEulerDiscreteScheduler(shift=2.0)
    schedule.set_timesteps(3)
    assert torch.allclose(model.table("euler", 3, 1.0, 16, 16).timesteps, schedule.timesteps)
    assert torch.allclose(model.table("dpm++2m", 3, 1.0, 16, 16).sigma, schedule.sigmas)
    config.write_text(json.dumps({"_class_name": "CMStochasticIterativeScheduler"}))
    with pytest.raises(ConfigError, match="noise levels are those of CMStochasticIterativeScheduler, which are not covered"):
        DenoiserModel.load(folder)
