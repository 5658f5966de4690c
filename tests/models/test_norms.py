import pytest
import torch
import torch.nn.functional as F

from mmgen.models.norms import RMSNorm


@pytest.mark.parametrize("plus_one", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-4, 1.0, 1e6])
def test_rms_norm_without_gradients_equals_torchs_own(plus_one: bool, size: float) -> None:
    norm = RMSNorm(96, 1e-5, plus_one)
    torch.nn.init.uniform_(norm.weight)
    x = size * torch.randn(3, 40, 96)
    before = x.clone()
    with torch.inference_mode():
        y = norm(x)
        assert all(torch.equal(norm(x[:, at : at + 1]), y[:, at : at + 1]) for at in range(40))
    weight = 1 + norm.weight if plus_one else norm.weight
    torch.testing.assert_close(y, F.rms_norm(x.double(), (96,), weight.double(), 1e-5).float(), atol=1e-6, rtol=1e-5)
    assert torch.equal(x, before)
    torch.testing.assert_close(y, norm(x).detach(), atol=1e-6, rtol=1e-5)  # as in training
