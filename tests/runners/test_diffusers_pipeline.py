"""Other pipelines through diffusers' own loop: its image, its steps as events, cancelled between them."""

import json
import shutil
from pathlib import Path

import diffusers
import pytest
import tiny_images as tiny
import torch
from safetensors.torch import load_file, save_file

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, BadWeights, Cancelled, DeadlineExceeded
from mmgen.image_events import Progress
from mmgen.runners.diffusers_pipeline import PipelineModel, PipelineRequest, PipelineRunner

ARGUMENTS = {"prompt": "a red cat", "width": 16, "height": 16, "use_resolution_binning": False, "clean_caption": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pixart(tmp_path_factory.mktemp("pixart"))


@pytest.fixture(scope="module")
def runner(folder: Path) -> PipelineRunner:
    return PipelineRunner(PipelineModel.load(folder))


def test_a_diffusion_transformer_equals_diffusers(folder: Path, runner: PipelineRunner) -> None:
    arguments = ARGUMENTS | {"num_inference_steps": 4, "guidance_scale": 3.0}
    pipeline = diffusers.PixArtAlphaPipeline.from_pretrained(folder)
    expected = pipeline(**arguments, generator=torch.Generator().manual_seed(7), output_type="np").images[0]
    with Engine({"pipeline": runner}) as engine:
        handle = engine.submit(Job("pipeline", PipelineRequest(arguments), seed=7))
        (image,) = handle.result(60)
        steps = list(handle.events())
    assert (image - (2 * torch.from_numpy(expected).permute(2, 0, 1) - 1)).abs().max() < 1e-3
    assert steps == [Progress(0, n, 4) for n in range(1, 5)]


def test_a_pipeline_that_tells_at_step_end(tmp_path: Path) -> None:
    """The newer callback: any Stable Diffusion can run this way too."""
    model = PipelineModel.load(tiny.stable_diffusion(tmp_path))
    seen: list[tuple[int, int]] = []
    arguments = {"prompt": ["a", "b"], "num_inference_steps": 3}
    images = model.draw(arguments, torch.Generator(), lambda *step: seen.append(step))
    assert [image.shape for image in images] == [(3, 16, 16)] * 2
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_cancelled_at_its_next_step(runner: PipelineRunner) -> None:
    with Engine({"pipeline": runner}) as engine:
        handle = engine.submit(Job("pipeline", PipelineRequest(ARGUMENTS | {"num_inference_steps": 900})))
        next(handle.events(60))
        handle.cancel()
        with pytest.raises(Cancelled):
            handle.result(60)
    assert len(handle.job.log) < 900


def test_late(runner: PipelineRunner) -> None:
    job = Job("pipeline", PipelineRequest(ARGUMENTS | {"num_inference_steps": 900}), request=Request.new(timeout_s=1e-9))
    runner.step([job])
    with pytest.raises(DeadlineExceeded, match="at step 1 of 900"):
        job.future.result()


def test_an_argument_it_does_not_take(runner: PipelineRunner) -> None:
    with Engine({"pipeline": runner}) as engine, pytest.raises(BadRequest, match=r"takes no 'promt' \(did you mean \"prompt\""):
        engine.submit(Job("pipeline", PipelineRequest({"promt": "a cat"})))


def test_folders_it_cannot_read(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(BadWeights, match="transformer cannot be read as PixArtTransformer2DModel") as error:
        PipelineModel.load(broken)
    assert "\n" not in str(error.value)
    weights = broken / "text_encoder" / "model.safetensors"
    save_file({"shared.weight": load_file(weights)["shared.weight"]}, weights, {"format": "pt"})
    with pytest.raises(BadWeights, match=r"text_encoder lacks encoder\.block"):
        PipelineModel.load(broken)
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BadWeights, match="text_encoder holds only pickled weights"):
        PipelineModel.load(broken)
    index = broken / "model_index.json"
    for name in ("HexagonPipeline", "utils", ""):
        index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": name}))
        with pytest.raises(BadWeights, match=f"is of class {name or 'unknown'}, which diffusers"):
            PipelineModel.load(broken)
    index.unlink()
    with pytest.raises(BadWeights, match=r"has no model_index\.json"):
        PipelineModel.load(broken)
