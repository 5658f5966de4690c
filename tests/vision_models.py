"""Models that see in folders, made once, and a runtime that keeps them loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mmgen.runtime import Runtime


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 x 32 pixels, words w0 to w47, a space of 24 dimensions."""
    import tiny_vision

    folder = tmp_path_factory.mktemp("clip")
    tiny_vision.saved(tiny_vision.clip(), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows cat, dog and car."""
    import tiny_vision

    folder = tmp_path_factory.mktemp("vit")
    tiny_vision.saved(tiny_vision.vit(), folder)
    return folder


@pytest.fixture(scope="session")
def seer(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> "Iterator[Runtime]":
    """Its image encoder is the tiny CLIP."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    home = tmp_path_factory.mktemp("seer")
    with Runtime(RuntimeConfig(home=home, device="cpu", image_encoder=str(tiny_clip))) as rt:
        yield rt
