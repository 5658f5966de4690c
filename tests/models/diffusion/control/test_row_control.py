"""In which steps a control acts, as diffusers counts them."""

import pytest
import torch

from mmgen.models.diffusion.control.row_control import PreparedControl, RowControl


@pytest.mark.parametrize(("start", "end"), [(0.0, 1.0), (0.0, 0.5), (0.25, 0.75), (0.3, 1.0), (0.9, 1.0)])
def test_the_share_of_the_steps(start: float, end: float) -> None:
    control, of = RowControl(None, PreparedControl([]), 1.0, start, end), 5
    theirs = [1.0 - float(i / of < start or (i + 1) / of > end) for i in range(of)]
    assert [control.acts(i, of) for i in range(of)] == [bool(one) for one in theirs]
    assert not any(RowControl(None, PreparedControl([]), 0.0).acts(i, of) for i in range(of))


def test_unconditional_rows_have_their_own() -> None:
    yes, no = torch.zeros(2), torch.ones(3)
    both = PreparedControl([yes], [no])
    assert RowControl(None, both, 1.0).tensors == [yes]
    assert RowControl(None, both, 1.0, unconditional=True).tensors == [no] and both.bytes == 20
    assert RowControl(None, PreparedControl([yes]), 1.0, unconditional=True).tensors == [yes]
