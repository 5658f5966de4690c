"""The recipe at its smallest: resumed equals undisturbed, and what is exported is read by diffusers and by ourselves."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from emoji_folder import drawings  # noqa: F401  fixture
from torch.utils.flop_counter import FlopCounterMode

from mmgen.config import load
from mmgen.errors import BadRequest
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.training.recipes import denoiser as recipe_module
from mmgen.training.recipes.denoiser import DenoiserLoss, DenoiserRecipe, DenoiserRun, autoencoder_of, make_unet, rates

# ruff: noqa: F811

UNET = {
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}
SCHEDULE = {"_class_name": "DDIMScheduler", "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}


@pytest.fixture
def recipe(drawings: Path, tmp_path: Path, tiny_encoder: Path) -> DenoiserRecipe:
    return DenoiserRecipe(
        data=drawings, out=tmp_path / "run", text=str(tiny_encoder), tokens=24, pool=60, fold=4,
        unet=UNET, schedule=SCHEDULE, steps=4, batch=4,
    )  # fmt: skip


def trained(recipe: DenoiserRecipe) -> dict[str, torch.Tensor]:
    return safetensors_io.read(recipe.out / "checkpoint" / "model.safetensors")


@pytest.mark.filterwarnings("ignore")
def test_resumed_run_equals_an_undisturbed_one(recipe: DenoiserRecipe, tmp_path: Path) -> None:
    assert recipe_module.train(recipe)
    broken = recipe.model_copy(update={"out": tmp_path / "broken"})
    assert not recipe_module.train(broken, stop_after_minutes=0)
    assert recipe_module.train(broken)
    whole, resumed = trained(recipe), trained(broken)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.filterwarnings("ignore")
def test_exported_model_is_read_by_diffusers_and_by_ourselves(recipe: DenoiserRecipe) -> None:
    recipe_module.train(recipe)
    folder = recipe.out / "model"
    theirs = UNet2DConditionModel.from_pretrained(folder / "unet")
    average = trained(recipe)["average.conv_in.weight"]
    assert torch.allclose(theirs.conv_in.weight, average, atol=1e-3)
    ours = DenoiserModel.load(folder)
    condition = ours.embed_prompts(["a dark ahat"])[0]
    assert (recipe.out / "samples.png").is_file()
    assert ours.latent_shape(64, 64) == (48, 16, 16)
    assert torch.isfinite(ours.predict(torch.randn(1, 48, 16, 16), torch.tensor([10]), [condition])).all()


def test_loss_of_a_perfect_model_is_zero_and_of_silence_is_not(recipe: DenoiserRecipe) -> None:
    run = DenoiserRun(recipe)
    batch = run.inputs(0)

    class Oracle(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, t: torch.Tensor, *_: object, **__: object) -> object:
            return type("Output", (), {"sample": run.schedule.velocity(batch.clean, batch.noise, t) * self.share})

    for share, low, high in ((1.0, 0.0, 1e-6), (0.0, 1e-3, 100.0)):
        oracle = Oracle()
        oracle.share = share  # type: ignore[assignment]
        for gamma in (5.0, None):
            assert low <= float(DenoiserLoss(oracle, run.schedule, gamma)(batch)["loss"]) <= high


def test_without_min_snr_every_timestep_weighs_the_same(recipe: DenoiserRecipe) -> None:
    """Silence's loss is the mean square of the target."""
    run = DenoiserRun(recipe)
    batch = run.inputs(0)
    silence = lambda noisy, *_, **__: type("Output", (), {"sample": torch.zeros_like(noisy)})  # noqa: E731
    plain, weighted = (float(DenoiserLoss(silence, run.schedule, gamma)(batch)["loss"]) for gamma in (None, 5.0))
    target = run.schedule.velocity(batch.clean, batch.noise, batch.timesteps)
    assert plain == pytest.approx(float(target.pow(2).mean()), rel=1e-5)
    assert weighted < plain


def test_dropped_captions_are_the_null_condition(recipe: DenoiserRecipe) -> None:
    run = DenoiserRun(recipe.model_copy(update={"drop_caption": 1.0}))
    batch = run.inputs(0)
    assert not batch.tokens.any() and not batch.pooled.any()
    assert batch.mask[:, 0].all() and not batch.mask[:, 1:].any()
    assert DenoiserRun(recipe.model_copy(update={"drop_caption": 0.0})).inputs(0).tokens.any()


def test_rate_warms_up_stays_and_decays() -> None:
    recipe = DenoiserRecipe(unet=UNET, schedule=SCHEDULE, steps=1000, warmup=0.01, decay=0.2, learning_rate=1.0)
    found = [rates(recipe).rate(step, 1000) for step in range(1000)]
    assert found[0] == pytest.approx(0.1) and found[500] == 1.0 and found[-1] == pytest.approx(0.02, abs=0.01)
    assert all(a >= b for a, b in pairwise(found[100:]))


def test_no_data(recipe: DenoiserRecipe) -> None:
    with pytest.raises(BadRequest, match="no data; give --data"):
        DenoiserRun(recipe.model_copy(update={"data": None}))


def test_the_gpu_recipe_stays_within_its_limits() -> None:
    """64 x 64 images, 10 to 20 million parameters, at most 8 GFLOP a forward pass, several million images."""
    recipe = load(Path("configs/train/emoji-gpu.yaml"), DenoiserRecipe)
    pixels = autoencoder_of(recipe)
    with torch.device("meta"):
        unet = make_unet(recipe, pixels, 384, 64)
        size = 64 // pixels.factor
        row = torch.zeros(1, pixels.channels, size, size), torch.zeros(1), torch.zeros(1, recipe.tokens, 384)
        with FlopCounterMode(display=False) as counter:
            unet(*row, class_labels=torch.zeros(1, 384))
    assert 10e6 <= sum(parameter.numel() for parameter in unet.parameters()) <= 20e6
    assert 5e9 <= counter.get_total_flops() <= 8e9
    assert recipe.upscaler is None and recipe.steps * recipe.batch > 3e6 and len(recipe.vendors) > 2


def test_shipped_recipe_reads() -> None:
    assert load(Path("configs/train/emoji-cpu.yaml"), DenoiserRecipe).unet["layers_per_block"] == 1
