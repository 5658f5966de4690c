"""Denoisers' candidates on tiny models, with and without prompts, an autoencoder and guidance."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mmgen import hub
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.tuning import gates
from mmgen.models.workloads import denoisers as workload_module
from mmgen.models.workloads.denoisers import DenoiserWorkload


@pytest.mark.parametrize("kind", ["pixel_model", "stable_diffusion", "unconditional"])
def test_images_are_judged(kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_module, "STEPS", 2)
    folder: Path = request.getfixturevalue(kind)
    workload = DenoiserWorkload()
    assert workload.candidates(folder) == ("fp32", "bf16")
    found = {}
    for precision in ("fp32", "bf16"):
        model = DenoiserModel.load(folder, precision=precision)
        model.pack()
        assert workload.takes(model)
        workload.run(model)
        found[precision] = list(workload.results(model, False))
    alone, together, images = (one for one in found["fp32"] if one is not None)
    assert len(alone) == 1 and len(together) == len(images) == 2 and images.shape[1] == 3
    assert workload.judge(found["fp32"], found["fp32"]).accepted
    assert np.isfinite([float(one.std()) for one in found["bf16"] if one is not None]).all()
    noisy = images + 0.1 * np.random.default_rng(0).normal(size=images.shape)
    assert not workload.judge(found["fp32"], [alone, together, noisy]).accepted
    assert not workload.judge(found["fp32"], [alone, together + 0.1, images]).accepted


def test_whole_pipelines_have_nothing_to_choose(diffusion_transformer: Path) -> None:
    assert DenoiserWorkload().candidates(diffusion_transformer) == ("fp32",)


@pytest.mark.slow
@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="bf16 is not chosen here")
def test_fifty_images_in_bf16_are_within_40_db() -> None:
    """Of the embedded denoiser, 20 steps with guidance."""
    folder, found = hub.resolve("embedded:emoji"), {}
    for precision in ("fp32", "bf16"):
        model = DenoiserModel.load(folder, precision=precision)
        model.pack()
        parts = [list(workload_module.draw(model, range(at, at + 10), 20))[-1] for at in range(0, 50, 10)]
        found[precision] = np.concatenate([one for one in parts if one is not None])
    verdict = gates.images(found["fp32"], found["bf16"])
    print(verdict.figure, "the worst of", len(found["fp32"]))
    assert len(found["fp32"]) == 50 and verdict.accepted, verdict
