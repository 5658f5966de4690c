from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from mmgen.errors import BadRequest, ConfigError
from mmgen.models.diffusion.schedule import PREDICTIONS, NoiseSchedule
from mmgen.models.diffusion.solver_table import HISTORY, SolverColumn, SolverTable, fused_update, stack
from mmgen.models.diffusion.solvers import SOLVERS, tabulate

DDPM = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear"}
STABLE_DIFFUSION = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
ZERO_SNR = {
    **STABLE_DIFFUSION,
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "prediction_type": "v_prediction",
}
SCHEDULES: dict[str, dict[str, Any]] = {
    "ddpm": DDPM,
    "stable-diffusion": STABLE_DIFFUSION,  # the solver's own spacing
    "leading": {**STABLE_DIFFUSION, "timestep_spacing": "leading"},
    "trailing": {**DDPM, "timestep_spacing": "trailing"},
    "linspace": {**STABLE_DIFFUSION, "timestep_spacing": "linspace"},
    "cosine": {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "leading"},
}
PEERS: dict[str, Any] = {
    "ddpm": diffusers.DDPMScheduler,
    "ddim": diffusers.DDIMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "heun": diffusers.HeunDiscreteScheduler,
    "dpm++2m": diffusers.DPMSolverMultistepScheduler,
    "dpm++2m-karras": diffusers.DPMSolverMultistepScheduler,
    "dpm++2m-sde": diffusers.DPMSolverMultistepScheduler,
    "dpm++2m-sde-karras": diffusers.DPMSolverMultistepScheduler,
    "unipc": diffusers.UniPCMultistepScheduler,
    "lcm": diffusers.LCMScheduler,
}
PAIRS = [(s, p) for s in PEERS for p in PREDICTIONS if (s, p) != ("euler-a", "sample")]  # which diffusers does not take
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of torch under diffusers
TAKES_GENERATOR = ("ddpm", "ddim", "euler-a", "lcm", "dpm++2m-sde", "dpm++2m-sde-karras")
KARRAS = {"use_karras_sigmas": True}


def unit_noise(seed: int = 1) -> Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def model(x: Tensor, timesteps: Tensor) -> Tensor:
    """Some nonlinear function of the state and the timestep."""
    t = timesteps.reshape(-1, 1, 1, 1) / 1000
    return torch.tanh(x + 0.3 * torch.sin(7 * t)) * (0.6 + 0.3 * t) + 0.1 * torch.cos(2 * x - 5 * t)


def theirs(
    solver: str, config: dict[str, Any], steps: int, start: int = 0, clean: Tensor | None = None, **options: Any
) -> tuple[Tensor, list[Tensor]]:
    """diffusers' loop as its documentation writes it -> timesteps, and what the model read at each, then the image."""
    sde = {"algorithm_type": "sde-dpmsolver++"} if "sde" in solver else {}
    peer = PEERS[solver].from_config(config | sde | (KARRAS if solver.endswith("karras") else {}))
    peer.set_timesteps(steps)
    first = start * peer.order
    if hasattr(peer, "set_begin_index"):  # without it diffusers starts at the second of two equal timesteps
        peer.set_begin_index(first)
    timesteps = peer.timesteps[first:]
    noise = unit_noise()
    x = noise * peer.init_noise_sigma if clean is None else peer.add_noise(clean, noise, timesteps[:1].repeat(len(clean)))
    if solver in TAKES_GENERATOR:
        options["generator"] = torch.Generator().manual_seed(7)
    read = []
    for t in timesteps:
        read.append(peer.scale_model_input(x, t))
        x = peer.step(model(read[-1], t), t, x, **options).prev_sample
    return timesteps.float(), [*read, x]


def ours(table: SolverTable, clean: Tensor | None = None, ask: Any = model) -> tuple[Tensor, list[Tensor]]:
    noise, generator = unit_noise(), torch.Generator().manual_seed(7)
    x = table.first(noise) if clean is None else table.noised(clean, noise)
    history, states = torch.zeros(len(x), HISTORY, *x.shape[1:]), [x]
    for row in range(len(table)):
        rows = stack([(table, row)] * len(x))
        drawn = torch.randn(x.shape, generator=generator) if table.draws(row) else torch.zeros_like(x)
        x, history, _ = fused_update(x, ask(x, rows[:, SolverColumn.TIMESTEP]), history, drawn, rows)
        states.append(x)
    return table.timesteps, states


def assert_same(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]], within: float = 1e-5) -> None:
    """All states within 1e-5 of their largest value."""
    torch.testing.assert_close(ours[0], theirs[0], atol=2e-4, rtol=0)
    assert len(ours[1]) == len(theirs[1])
    for mine, peer in zip(ours[1], theirs[1], strict=True):
        assert (mine - peer).abs().max() <= within * max(1.0, float(peer.abs().max()))


@pytest.mark.parametrize("steps", [5, 20, 50])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("solver", "prediction"), PAIRS)
def test_equals_diffusers(solver: str, prediction: str, schedule: str, steps: int) -> None:
    config = {**SCHEDULES[schedule], "prediction_type": prediction}
    assert_same(ours(tabulate(NoiseSchedule.from_config(config), solver, steps)), theirs(solver, config, steps))


@pytest.mark.parametrize(
    ("solver", "option"),
    [
        *((solver, ZERO_SNR) for solver in ("ddpm", "ddim", "dpm++2m", "unipc", "lcm")),
        *((solver, KARRAS) for solver in ("euler", "heun", "unipc")),
        *((solver, {"clip_sample": True, "clip_sample_range": 0.7}) for solver in ("ddpm", "ddim", "heun", "lcm")),
        *((solver, {"final_sigmas_type": "sigma_min"}) for solver in ("euler", "dpm++2m", "dpm++2m-karras", "unipc")),
        *(("ddpm", {"variance_type": kind}) for kind in ("fixed_small_log", "fixed_large")),
        ("ddim", {"set_alpha_to_one": True}),
        ("dpm++2m", {"euler_at_final": True, "final_sigmas_type": "sigma_min"}),
        ("dpm++2m", {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        ("dpm++2m", {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
        ("lcm", {"original_inference_steps": 100, "timestep_scaling": 5.0}),
        ("euler", {"trained_betas": torch.linspace(0.001, 0.02, 500).tolist(), "num_train_timesteps": 500}),
    ],
)
def test_options_of_the_configuration(solver: str, option: dict[str, Any]) -> None:
    config = {**STABLE_DIFFUSION, **option}
    for steps in (1, 5, 20):
        assert_same(ours(tabulate(NoiseSchedule.from_config(config), solver, steps)), theirs(solver, config, steps))


@pytest.mark.parametrize("solver", ["euler", "euler-a"])
def test_euler_at_zero_snr(solver: str) -> None:
    """diffusers scales this state by 4096, and float32 holds such numbers to 2^-12 only; ours stay near 1."""
    for steps in (5, 20, 50):
        table = tabulate(NoiseSchedule.from_config(ZERO_SNR), solver, steps)
        assert_same(ours(table), theirs(solver, ZERO_SNR, steps), within=2**-12)


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_ddim_eta(eta: float) -> None:
    for prediction in PREDICTIONS:
        config = {**STABLE_DIFFUSION, "prediction_type": prediction}
        table = tabulate(NoiseSchedule.from_config(config), "ddim", 20, eta=eta)
        assert_same(ours(table), theirs("ddim", config, 20, eta=eta))


@pytest.mark.parametrize("solver", PEERS)
def test_img2img_starts_midway(solver: str) -> None:
    clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    table = tabulate(NoiseSchedule.from_config(STABLE_DIFFUSION), solver, 20, strength=0.6)
    assert_same(ours(table, clean), theirs(solver, STABLE_DIFFUSION, 20, start=8, clean=clean))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_model_that_knows_the_image_arrives_at_it(solver: str) -> None:
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(3)) * 2 - 1
    schedule = NoiseSchedule.from_config({**DDPM, "prediction_type": "sample"})
    for steps in (1, 2, 3, 7, 40):
        _, states = ours(tabulate(schedule, solver, steps), ask=lambda x, t: image)
        torch.testing.assert_close(states[-1], image, atol=2e-3 if solver == "lcm" else 1e-5, rtol=0)


@pytest.mark.parametrize("solver", SOLVERS)
def test_predictions_agree(solver: str) -> None:
    """One model, its answer given as x0, as noise and as velocity: one image."""
    images = []
    for prediction in PREDICTIONS:
        table = tabulate(NoiseSchedule.from_config({**STABLE_DIFFUSION, "prediction_type": prediction}), solver, 12)

        def answer(x: Tensor, timesteps: Tensor, table: SolverTable = table, prediction: str = prediction) -> Tensor:
            row = int((table.timesteps == timesteps[0]).nonzero()[0])
            alpha, sigma, x0 = table.alpha[row], table.sigma[row], 0.8 * torch.tanh(x)
            noise = (x - alpha * x0) / sigma
            return {"sample": x0, "epsilon": noise, "v_prediction": alpha * noise - sigma * x0}[prediction]

        images.append(ours(table, ask=answer)[1][-1])
    torch.testing.assert_close(images[0], images[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(images[0], images[2], atol=1e-4, rtol=0)


def error(config: dict[str, Any], solver: str, steps: int = 16, spread: float = 0.25) -> float:
    """Data N(0, spread): the best x0 prediction and the flow's solution are known in closed form."""
    table = tabulate(NoiseSchedule.from_config({**config, "prediction_type": "sample"}), solver, steps)
    alpha, sigma = table.alpha.double(), table.sigma.double()

    def best(x: Tensor, timesteps: Tensor) -> Tensor:
        row = int((table.timesteps == timesteps[0]).nonzero()[0])
        a, s = alpha[row], sigma[row]
        return (a * spread / (a**2 * spread + s**2)).float() * x

    _, states = ours(table, ask=best)
    exact = states[0] * spread**0.5 / (alpha[0] ** 2 * spread + sigma[0] ** 2).sqrt().float()
    return float((states[-1] - exact).abs().max())


def test_second_order_is_nearer_to_the_exact_solution() -> None:
    config = {**STABLE_DIFFUSION, **KARRAS}
    first = error(config, "euler")
    assert error(config, "heun") < first / 4
    assert error(config, "dpm++2m") < first / 4
    assert error(config, "unipc") < error(config, "dpm++2m")


@pytest.mark.parametrize("config", [ZERO_SNR, {**ZERO_SNR, "beta_schedule": "squaredcos_cap_v2"}])
def test_second_order_from_noise_alone(config: dict[str, Any]) -> None:
    """Heun's correction of the first step was a slope's error times half of 4,096, and the image noise."""
    first = error({**config, "timestep_spacing": "trailing"}, "euler", 8)
    for solver in ("heun", "dpm++2m", "unipc"):
        assert error({**config, "timestep_spacing": "trailing"}, solver, 8) < first, solver


def test_clip_bounds_x0_under_any_solver() -> None:
    schedule = NoiseSchedule.from_config(STABLE_DIFFUSION)
    for solver in SOLVERS:
        _, states = ours(tabulate(schedule, solver, 5, clip=0.5))
        assert states[-1].abs().max() <= 0.51, solver
    assert ours(tabulate(schedule, "euler", 5))[1][-1].abs().max() > 0.6


def test_who_draws_noise() -> None:
    schedule = NoiseSchedule.from_config(DDPM)

    def draws(solver: str, **options: float) -> list[int]:
        table = tabulate(schedule, solver, 4, **options)
        return [int(table.draws(row)) for row in range(len(table))]

    assert draws("ddpm") == draws("euler-a") == draws("lcm") == [1, 1, 1, 0]
    assert draws("ddim", eta=1.0) == [1, 1, 1, 0]
    for solver in ("ddim", "euler", "dpm++2m", "dpm++2m-karras", "unipc"):
        assert draws(solver) == [0, 0, 0, 0]
    assert draws("heun") == [0] * 7
    assert draws("dpm++2m-sde") == draws("dpm++3m-sde") == [1, 1, 1, 0] and draws("dpm++sde") == [1, 1, 1, 1, 1, 1, 0]


def test_inpainting_levels_fall_to_the_clean_image() -> None:
    clean, noise = torch.full((1, 1, 2, 2), 0.3), torch.ones(1, 1, 2, 2)
    for solver in SOLVERS:
        table = tabulate(NoiseSchedule.from_config(DDPM), solver, 6)
        assert (table.sigma.diff() <= 0).all()
        assert torch.equal(table.noised(clean, noise, len(table)), clean)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dpm++2", 20), r'unknown solver .dpm\+\+2. \(did you mean "dpm\+\+2m"\?\); one of ddpm, ddim'),
        (("euler", 0), "steps is 0; euler takes 1 to 1000"),
        (("euler", -3), "steps is -3; euler takes 1 to 1000"),
        (("ddim", 10**6), "steps is 1000000; ddim takes 1 to 1000"),
        (("lcm", 51), "steps is 51; lcm takes 1 to 50"),
        (("unipc", 1000), "1000 steps do not fit into 1000 training steps"),
    ],
)
def test_bad_requests(arguments: tuple[str, int], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        tabulate(NoiseSchedule.from_config(DDPM), *arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 0.0}, "strength is 0.0; use more than 0 and at most 1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"strength": 0.01}, "strength 0.01 of 20 steps leaves none to run; use at least 0.05"),
        ({"eta": 1.5}, "eta is 1.5; use 0 to 1"),
        ({"solver": "euler", "eta": 0.5}, "only ddim knows eta"),
        ({"clip": -1.0}, "clip is -1.0"),
        ({"solver": "lcm", "original_steps": 2000}, "original_steps is 2000; use 1 to 1000"),
        (
            {"config": {**ZERO_SNR, "prediction_type": "epsilon"}},
            "no finite step at timestep 999 of this schedule with epsilon",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    schedule = NoiseSchedule.from_config(options.pop("config", DDPM))
    with pytest.raises(BadRequest, match=message):
        tabulate(schedule, options.pop("solver", "ddim"), 20, **options)


@pytest.mark.parametrize(
    ("solver", "option"),
    [
        ("ddpm", {"variance_type": "learned_range"}),
        ("dpm++2m", {"algorithm_type": "sde-dpmsolver++"}),
        ("dpm++2m", {"solver_type": "heun"}),
        ("unipc", {"solver_order": 3}),
        ("unipc", {"solver_type": "bh1"}),
        ("euler", {"timestep_spacing": "sideways"}),
    ],
)
def test_variants_that_are_not_covered_are_refused(solver: str, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=str(next(iter(option.values())))):
        tabulate(NoiseSchedule.from_config({**DDPM, **option}), solver, 20)
