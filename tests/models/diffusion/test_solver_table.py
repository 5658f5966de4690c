from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmgen.models.diffusion.schedule import PREDICTIONS, NoiseSchedule
from mmgen.models.diffusion.solver_table import HISTORY, SolverColumn, SolverTable, fused_update, stack
from mmgen.models.diffusion.solvers import SOLVERS, tabulate

SCHEDULES = [
    NoiseSchedule.from_config({"beta_schedule": name, "prediction_type": prediction})
    for name in ("scaled_linear", "squaredcos_cap_v2")
    for prediction in PREDICTIONS
]


@st.composite
def places(draw: st.DrawFn) -> tuple[SolverTable, int]:
    """A job of any solver, standing at any of its rows."""
    schedule, solver = draw(st.sampled_from(SCHEDULES)), draw(st.sampled_from(list(SOLVERS)))
    table = tabulate(schedule, solver, draw(st.integers(1, 50)), clip=draw(st.sampled_from([None, 1.0])))
    return table, draw(st.integers(0, len(table) - 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(places(), min_size=1, max_size=9), st.integers(0, 2**31), st.sampled_from([(3, 5, 7), (4, 8, 8), (1, 1, 3)]))
def test_a_mixed_batch_equals_each_row_alone(batch: list[tuple[SolverTable, int]], seed: int, shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(seed)
    x, output, noise = (torch.randn(len(batch), *shape, generator=random) for _ in range(3))
    history = torch.randn(len(batch), HISTORY, *shape, generator=random)
    together = fused_update(x, output, history, noise, stack(batch))
    for i, place in enumerate(batch):
        one = slice(i, i + 1)
        alone = fused_update(x[one], output[one], history[one], noise[one], stack([place]))
        assert all(torch.equal(many[one], single) for many, single in zip(together, alone, strict=True))


def test_rows_in_reduced_precision_are_advanced_in_float32() -> None:
    table = tabulate(SCHEDULES[0], "euler", 4)
    x, history = torch.ones(1, 1, 2, 2), torch.zeros(1, HISTORY, 1, 2, 2)
    step, kept, x0 = fused_update(
        x, torch.ones_like(x, dtype=torch.bfloat16), history, torch.zeros_like(x), stack([(table, 0)])
    )
    assert step.dtype == kept.dtype == x0.dtype == torch.float32


def test_the_x0_prediction_undoes_the_noise() -> None:
    schedule = SCHEDULES[0]
    clean, noise = torch.full((1, 1, 2, 2), 0.5), torch.tensor([[[[1.0, -1.0], [0.3, 2.0]]]])
    for solver in SOLVERS:
        table = tabulate(schedule, solver, 10)
        row = len(table) // 2
        history = torch.zeros(1, HISTORY, *clean.shape[1:])
        x0 = fused_update(table.noised(clean, noise, row), noise, history, torch.zeros_like(clean), stack([(table, row)]))[2]
        torch.testing.assert_close(x0, clean, atol=1e-4, rtol=0)


def test_history_moves_on() -> None:
    table = tabulate(SCHEDULES[2], "dpm++2m", 4)  # x0 predictions
    x, history = torch.zeros(1, 1, 1, 1), torch.zeros(1, HISTORY, 1, 1, 1)
    for row, prediction in enumerate((0.1, 0.2, 0.3)):
        x, history, _ = fused_update(x, torch.full_like(x, prediction), history, torch.zeros_like(x), stack([(table, row)]))
    torch.testing.assert_close(history[0, 1:].flatten(), torch.tensor([0.3, 0.2]))


def test_the_stack_tells_the_model_its_timesteps() -> None:
    tables = [tabulate(SCHEDULES[0], "ddim", 10), tabulate(SCHEDULES[0], "heun", 5)]
    rows = stack([(tables[0], 3), (tables[1], 8)])
    assert rows[:, SolverColumn.TIMESTEP].tolist() == [600.0, 0.0]
