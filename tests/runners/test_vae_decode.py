"""The decode runner: a tile a turn, the same image as at once, a bad job alone."""

import pytest
import tiny_images as tiny
import torch

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import BadRequest
from mmgen.models.diffusion import autoencoder
from mmgen.models.diffusion.autoencoder import LatentAutoencoder, decode
from mmgen.runners.vae_decode import VAEDecodeRunner


@pytest.fixture(scope="module")
def images() -> LatentAutoencoder:
    torch.manual_seed(0)
    return LatentAutoencoder(tiny.vae())


def test_images_of_like_size_go_together(images: LatentAutoencoder) -> None:
    latents = torch.randn(3, 4, 8, 8)
    jobs = [Job("decode", row) for row in latents]
    VAEDecodeRunner(images).step(jobs)
    for job, expected in zip(jobs, decode(images, latents), strict=True):
        torch.testing.assert_close(job.future.result(), expected, atol=1e-5, rtol=0)


def test_a_large_image_takes_a_tile_a_turn(images: LatentAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "WHOLE", 64)
    runner, job, turns = VAEDecodeRunner(images), Job("decode", torch.randn(4, 14, 8)), 0
    assert runner.key(job) == (8, 8)
    while job.ended is None:
        runner.step([job])
        turns += 1
    assert turns == 2
    torch.testing.assert_close(job.future.result(), decode(images, [job.payload])[0], atol=1e-5, rtol=0)


def test_a_quantum_keeps_its_budget(images: LatentAutoencoder) -> None:
    """Two of three fit: the third waits and is charged nothing."""
    jobs = [Job("decode", torch.randn(4, 8, 8)) for _ in range(3)]
    runner = VAEDecodeRunner(images, budget=2 * 16 * 16)
    runner.step(jobs)
    assert [job.status for job in jobs] == ["done", "done", "queued"]
    assert [job.units for job in jobs] == [1, 1, 0]


def test_a_bad_job_fails_alone(images: LatentAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    right = images.decode

    def fragile(latents: torch.Tensor) -> torch.Tensor:
        if latents.isnan().any():
            raise ValueError("nan")
        return right(latents)

    monkeypatch.setattr(images, "decode", fragile)
    jobs = [Job("decode", latents) for latents in (torch.randn(4, 8, 8), torch.full((4, 8, 8), torch.nan))]
    VAEDecodeRunner(images).step(jobs)
    assert [job.status for job in jobs] == ["done", "failed"]


def test_an_image_that_overflows_is_told(images: LatentAutoencoder) -> None:
    """As of an SDXL autoencoder in fp16: it was a black image."""
    jobs = [Job("decode", latents) for latents in (torch.randn(4, 8, 8), torch.full((4, 8, 8), torch.nan))]
    VAEDecodeRunner(images).step(jobs)
    assert [job.status for job in jobs] == ["done", "failed"]
    with pytest.raises(BadRequest, match="numbers that are none of this image; take a higher precision"):
        jobs[1].future.result()


def test_latents_of_another_model_are_refused(images: LatentAutoencoder) -> None:
    with Engine({"decode": VAEDecodeRunner(images)}) as engine:
        for shape in ((3, 8, 8), (1, 4, 8, 8), (4,)):
            with pytest.raises(BadRequest, match=r"latents are of shape .*, this autoencoder reads \(4, h, w\)"):
                engine.submit(Job("decode", torch.zeros(shape)))


def test_reserve_is_that_of_a_tile(images: LatentAutoencoder) -> None:
    runner = VAEDecodeRunner(images)
    small, large = (runner.reserve(Job("decode", torch.zeros(4, size, size))) for size in (128, 1024))
    assert large < 16 * small  # 64 times the image: the canvas grows with it, a tile's working memory does not


def test_short_of_memory_it_leaves_to_the_engine_how_many_it_takes(
    images: LatentAutoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, latents = images.decode, torch.randn(4, 4, 8, 8)

    def cramped(latents: torch.Tensor) -> torch.Tensor:
        if len(latents) > 1:
            raise torch.OutOfMemoryError("no room")
        return right(latents)

    expected = decode(images, latents)
    monkeypatch.setattr(images, "decode", cramped)
    runner = VAEDecodeRunner(images)
    assert runner.estimate(Job("decode", latents[0])).quanta == 1
    with Engine({"decode": runner}) as engine:
        handles = [engine.submit(Job("decode", row)) for row in latents]
        for handle, image in zip(handles, expected, strict=True):
            torch.testing.assert_close(handle.result(20), image, atol=1e-5, rtol=0)
