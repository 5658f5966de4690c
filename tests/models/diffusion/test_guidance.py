from __future__ import annotations

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from mmgen.models.diffusion.guidance import guide

NONE = torch.tensor([], dtype=torch.long)


def outputs(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, 4, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_equals_diffusers() -> None:
    both = outputs(4)
    conditional, unconditional = both.chunk(2)
    mixed = unconditional + 7.5 * (conditional - unconditional)
    scale, everybody = torch.full((2,), 7.5), torch.arange(2)
    torch.testing.assert_close(guide(both, everybody, scale, torch.zeros(2)), mixed)
    rescaled = rescale_noise_cfg(mixed, conditional, guidance_rescale=0.7)
    torch.testing.assert_close(guide(both, everybody, scale, torch.full((2,), 0.7)), rescaled)


def test_guided_and_unguided_rows_mix_as_if_alone() -> None:
    conditional, unconditional = outputs(4), outputs(2, seed=1)
    scale, rescale = torch.tensor([5.0, 9.0, 3.0, 1.0]), torch.tensor([0.0, 0.5, 0.7, 0.0])
    mixed = guide(torch.cat((conditional, unconditional)), torch.tensor([2, 0]), scale, rescale)
    assert torch.equal(mixed[3], conditional[3])
    torch.testing.assert_close(mixed[1], conditional[1])  # asks for rescale, but has nothing to rescale
    for place, row in enumerate((2, 0)):
        pair = torch.stack((conditional[row], unconditional[place]))
        alone = guide(pair, torch.tensor([0]), scale[row : row + 1], rescale[row : row + 1])
        assert torch.equal(mixed[row], alone[0])


def test_without_guidance_nothing_is_touched() -> None:
    rows = outputs(3)
    assert torch.equal(guide(rows, NONE, torch.full((3,), 7.5), torch.zeros(3)), rows)


def test_a_flat_output_survives_rescale() -> None:
    flat = torch.zeros(2, 4, 6, 6)
    assert torch.equal(guide(flat, torch.tensor([0]), torch.tensor([7.5]), torch.tensor([0.7])), flat[:1])
