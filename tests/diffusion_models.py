"""Tiny checkpoints that draw noise, made once, and a runtime that keeps them loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@pytest.fixture(scope="session")
def pixel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our own kind, 16 x 16 pixels, which hears MiniLM."""
    import tiny_images

    return tiny_images.embedded(tmp_path_factory.mktemp("pixel-model"))


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 x 16 pixels; a prompt of 14 letters at most."""
    import tiny_images

    return tiny_images.stable_diffusion(tmp_path_factory.mktemp("stable-diffusion"))


@pytest.fixture(scope="session")
def unconditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 x 8 pixels, without a prompt."""
    import tiny_images

    return tiny_images.unconditional(tmp_path_factory.mktemp("unconditional"))


@pytest.fixture(scope="session")
def diffusion_transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs through diffusers' own pipeline."""
    import tiny_images

    return tiny_images.aura_flow(tmp_path_factory.mktemp("aura-flow"))


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory, stable_diffusion: Path) -> "Iterator[Runtime]":
    """Its own model is Stable Diffusion."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    home = tmp_path_factory.mktemp("studio")
    with Runtime(RuntimeConfig(home=home, device="cpu", denoiser=str(stable_diffusion))) as rt:
        yield rt
