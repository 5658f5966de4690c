"""Results as JSON: nothing that JSON lacks, and no path of this machine."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmgen.serve import serialization


@dataclass
class Found:
    document: str
    score: float


def test_values_that_json_lacks() -> None:
    assert serialization.to_json({"a": float("nan"), 1: np.float32([0.5, 2]), "b": {3}}) == {
        "a": None,
        "1": [0.5, 2.0],
        "b": [3],
    }
    assert serialization.to_json(None) is None and serialization.to_json(True) is True


def test_paths_are_reduced_to_names() -> None:
    assert serialization.to_json(Found("/home/me/a.txt", 0.5)) == {"document": "a.txt", "score": 0.5}
    assert serialization.to_json({"text": "/not/a/path", "file": Path("/home/me/b")}) == {"text": "/not/a/path", "file": "b"}


def test_images_are_data_urls() -> None:
    assert serialization.to_json([Image.new("RGB", (2, 2))])[0].startswith("data:image/png;base64,iVBOR")
