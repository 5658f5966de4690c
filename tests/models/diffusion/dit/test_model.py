"""Every family of diffusion transformers draws what its own pipeline draws, alone and beside rows of other kinds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_dit
import torch
from safetensors.torch import save_file

from mmgen.clients.dit import DiTClient
from mmgen.clients.image_base import ImageDone
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, TooLong
from mmgen.image_params import ImageParams, LoraWeight
from mmgen.models.diffusion.dit.model import DiTModel
from mmgen.models.diffusion.dit.sd3 import StableDiffusion3
from mmgen.runtime import Runtime

SIDE, STEPS, PROMPT = 32, 3, "a red cat"
NEARLY = 1 / 255 + 1e-6


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu")) as made:
        yield made


@pytest.fixture(scope="module", params=tiny_dit.FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return tiny_dit.make(request.param, folder), folder


Order = tuple[int, int, float, str]  # seed, steps, guidance, prompt


def theirs(pipeline: Any, seed: int, steps: int, guidance: float, prompt: str) -> np.ndarray:
    """(H, W, 3) in [0, 1], by the pipeline's own loop."""
    kind = type(pipeline).__name__
    told: dict[str, Any] = {"guidance_scale": guidance}
    if kind == "QwenImagePipeline":  # as its model's card calls it
        told = {"true_cfg_scale": guidance, "negative_prompt": " "}
    elif kind in ("SanaPipeline", "PixArtSigmaPipeline"):
        told |= {"use_resolution_binning": False, "clean_caption": False}
    side = 4 * SIDE if kind == "Lumina2Pipeline" else SIDE  # it takes every autoencoder to shrink images eightfold
    out = pipeline(
        prompt=prompt, num_inference_steps=steps, height=side, width=side, generator=torch.Generator().manual_seed(seed),
        output_type="np", **told,
    )  # fmt: skip
    return np.asarray(out.images[0])


def ours(client: DiTClient, *orders: Order) -> list[np.ndarray]:
    """Drawn in the same passes, whatever their steps, guidance and prompts; (H, W, 3) in [0, 1]."""
    rows = [
        client.resolved(ImageParams(prompt=prompt, seed=seed, steps=steps, guidance=guidance, width=SIDE, height=SIDE))
        for seed, steps, guidance, prompt in orders
    ]
    return drawn(client, rows)


def drawn(client: DiTClient, rows: Sequence[ImageParams]) -> list[np.ndarray]:
    images = {event.image: event.pixels for event in client.draw(rows, Request.new()) if isinstance(event, ImageDone)}
    return [(images[n].permute(1, 2, 0).numpy() + 1) / 2 for n in range(len(rows))]


def client_of(rt: Runtime, folder: Path) -> DiTClient:
    client = rt.denoiser(str(folder))
    assert isinstance(client, DiTClient)
    return client


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own scheduler
def test_a_family_draws_what_its_pipeline_draws_alone_and_in_a_batch(rt: Runtime, family: tuple[Any, Path]) -> None:
    pipeline, folder = family
    client = client_of(rt, folder)
    scale = 1.0 if client.model.family.guidance == 1 else 3.0  # FLUX.1 schnell knows none
    orders = [(4, STEPS, scale, PROMPT), (5, STEPS + 1, max(1.0, scale - 1), "a blue car with two green stars")]
    alone = [ours(client, order)[0] for order in orders]
    for order, image in zip(orders, alone, strict=True):
        assert np.abs(image - theirs(pipeline, *order)).max() <= NEARLY
    assert np.abs(alone[0] - alone[1]).max() > 0.1
    for one, other in zip(alone, ours(client, *orders), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_family_refuses(rt: Runtime, tmp_path: Path) -> None:
    tiny_dit.make("flux", tmp_path)
    client = client_of(rt, tmp_path)
    for wrong, words in (
        ({"negative": "blue"}, "takes no negative prompt: it was distilled to hear the guidance scale"),
        ({"solver": "ddim"}, "solver is 'ddim', but a flow model is drawn with euler"),
        ({"steps": 2000}, "steps is 2000"),
        ({"width": 33}, "width is 33 pixels; .* needs a multiple of 4"),
    ):
        with pytest.raises(BadRequest, match=words):
            client.resolved(ImageParams(prompt=PROMPT, **wrong))
    with pytest.raises(TooLong, match="the prompt is 600 tokens, the model reads 512"):
        ours(client, (0, 1, 1.0, "cat " * 600))


def test_a_row_has_its_own_adapter(rt: Runtime, tmp_path: Path) -> None:
    """In a batch with a row that has none; the numbers are those of the changed weights."""
    tiny_dit.make("schnell", tmp_path / "model")
    client, layer = client_of(rt, tmp_path / "model"), "single_transformer_blocks.0.attn.to_q"
    weight = client.model.network.get_submodule(layer).weight
    a, b = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    names = {f"transformer.{layer}.lora_A.weight": a, f"transformer.{layer}.lora_B.weight": b}
    save_file(names, tmp_path / "lora.safetensors")
    rows = [
        client.resolved(ImageParams(prompt=PROMPT, seed=3, steps=2, width=SIDE, height=SIDE, loras=loras))
        for loras in ((), (LoraWeight(tmp_path / "lora.safetensors", 0.5),))
    ]
    plain, changed = drawn(client, rows)
    np.testing.assert_array_equal(plain, drawn(client, rows[:1])[0])
    with torch.no_grad():
        weight += 0.5 * b @ a
        by_hand = drawn(client, rows[:1])[0]
        weight -= 0.5 * b @ a
    assert np.abs(changed - by_hand).max() < NEARLY < np.abs(changed - plain).max()


def test_rows_of_one_length_share_a_pass_of_not_too_many_tokens(tmp_path: Path) -> None:
    pipeline = tiny_dit.sd3(tmp_path)
    model = DiTModel(pipeline, StableDiffusion3(pipeline))
    assert model._passes([7, 9, 7, 7], 500) == [[0], [2], [3], [1]]
    assert model._passes([7, 9, 7, 7], 300) == [[0, 2], [3], [1]]
    assert model._passes([7, 7], 4096) == [[0], [1]]
