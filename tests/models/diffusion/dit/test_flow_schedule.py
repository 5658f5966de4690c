"""Tables of flow matching against the formulas, step by step, and against diffusers' scheduler."""

import math
from itertools import pairwise

import diffusers
import numpy as np
import pytest
import torch

from mmgen.errors import BadRequest
from mmgen.models.diffusion.dit import flow_schedule
from mmgen.models.diffusion.noise_levels import NoiseLevels
from mmgen.models.diffusion.solver_table import HISTORY, SolverTable, fused_update, stack

SCHEDULER = diffusers.FlowMatchEulerDiscreteScheduler(shift=2.0)


def levels(steps: int = 6) -> NoiseLevels:
    return flow_schedule.levels(SCHEDULER, steps)


def velocity(x: torch.Tensor, s: float) -> torch.Tensor:
    """Towards what is expected of images that are -1 or 1, each with a deviation of 0.3."""
    spread = (0.3 * (1 - s)) ** 2 + s**2
    likely = torch.tanh((1 - s) * x / spread)
    image = likely + (1 - s) * 0.3**2 / spread * (x - (1 - s) * likely)
    return (x - image) / s


def run(table: SolverTable, x: torch.Tensor) -> torch.Tensor:
    history = torch.zeros(1, HISTORY, *x.shape)
    state = x[None]
    for row in range(len(table)):
        output = velocity(state, float(table.sigma[row]))
        state, history, _ = fused_update(state, output, history, torch.zeros_like(state), stack([(table, row)]))
    return state[0]


def test_euler_is_the_scheduler_s_own() -> None:
    x = torch.linspace(-1, 1, 5)
    theirs = diffusers.FlowMatchEulerDiscreteScheduler.from_config(SCHEDULER.config)
    theirs.set_timesteps(6)
    expected = x
    for n, t in enumerate(theirs.timesteps):
        expected = theirs.step(velocity(expected, float(theirs.sigmas[n])), t, expected, return_dict=False)[0]
    torch.testing.assert_close(run(flow_schedule.tabulate(levels(), "euler"), x), expected)


def test_heun_is_its_formula() -> None:
    x = torch.linspace(-1, 1, 5)
    s = levels().sigma
    expected = x
    for here, there in pairwise(s):
        slope = velocity(expected, here)
        ahead = expected + (there - here) * slope
        expected = ahead if there == 0 else expected + (there - here) / 2 * (slope + velocity(ahead, there))
    table = flow_schedule.tabulate(levels(), "heun")
    assert len(table) == 11
    torch.testing.assert_close(run(table, x), expected.float())


def test_errors_fall_as_the_orders_say() -> None:
    x = torch.linspace(-1, 1, 5)
    exact = run(flow_schedule.tabulate(levels(900), "euler"), x)

    def off(solver: str, steps: int) -> float:
        return float((run(flow_schedule.tabulate(levels(steps), solver), x) - exact).abs().max())

    assert off("euler", 24) / off("euler", 48) < 2.2 < 2.5 < off("dpm++2m", 24) / off("dpm++2m", 48)
    assert off("heun", 12) < off("euler", 48) / 5


def test_an_image_to_begin_with_is_noised_to_the_first_level() -> None:
    table = flow_schedule.tabulate(levels(8), "euler", strength=0.5)
    assert len(table) == 4
    s = levels(8).sigma[4]
    image, noise = torch.full((2,), 3.0), torch.full((2,), -1.0)
    torch.testing.assert_close(table.noised(image, noise), torch.full((2,), (1 - s) * 3 - s, dtype=torch.float32))


def test_what_cannot_be_tabulated() -> None:
    with pytest.raises(BadRequest, match=r"solver is 'eular' \(did you mean"):
        flow_schedule.tabulate(levels(), "eular")
    with pytest.raises(BadRequest, match=r"strength 0\.01 of 6 steps leaves none"):
        flow_schedule.tabulate(levels(), "euler", strength=0.01)


def test_the_shift_depends_on_the_size() -> None:
    dynamic = diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    small, large = (flow_schedule.shift_by_size(dynamic.config, tokens) for tokens in (256, 4096))
    assert (small, large) == pytest.approx((0.5, 1.15))
    given = np.linspace(1, 1 / 4, 4)
    found = flow_schedule.levels(dynamic, 4, given, large).sigma
    expected = math.exp(large) / (math.exp(large) + (1 / given - 1))
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-6)
