"""The client of models that see: through the engine, in threads ahead of it, alone and in any company."""

import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
from PIL import Image

from mmgen.clients.image_encoder import AHEAD, ImageEncoderClient
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, JobFailed
from mmgen.runtime import Runtime

TEXTS = ["w3 w4", "w5", "w6 w7 w8 w9", ""]


@pytest.fixture
def client(seer: Runtime) -> ImageEncoderClient:
    return seer.seeing()


@pytest.fixture
def small(client: ImageEncoderClient, monkeypatch: pytest.MonkeyPatch) -> ImageEncoderClient:
    """Two images a pass."""
    monkeypatch.setattr(client, "chunk", 2)
    return client


def some(count: int) -> list[Image.Image]:
    return tiny_vision.images(*((40 + 3 * n, 60) for n in range(count)))


def test_one_client_a_reference(seer: Runtime, tiny_clip: Path) -> None:
    client = seer.seeing()
    assert seer.seeing(str(tiny_clip)) is client and client.model is seer.image_encoder()
    rounded = seer.seeing(f"{tiny_clip}#int8")
    assert rounded is not client and rounded.name == f"{tiny_clip}#int8"
    assert (rounded.embed_images(some(2)) * client.embed_images(some(2))).sum(1).min() > 0.99


def test_the_models_own_vectors(small: ImageEncoderClient) -> None:
    images = some(7)
    found = small.embed_images(iter(images))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, small.model.embed_images(images), atol=1e-6)
    np.testing.assert_allclose(small.embed_texts(TEXTS), small.model.embed_texts(TEXTS), atol=1e-6)
    pixels = torch.rand(3, 3, 50, 40) * 2 - 1
    np.testing.assert_allclose(small.embed_images(pixels), small.model.embed_images(pixels), atol=1e-6)
    assert small.embed_images([]).shape == small.embed_texts([]).shape == (0, 24)


def test_alone_and_among_callers(small: ImageEncoderClient) -> None:
    """Many callers at once share passes; everyone gets what they get alone."""
    works = [some(n) for n in (1, 5, 2, 9, 3)]
    alone = [small.embed_images(work) for work in works], small.embed_texts(TEXTS)
    with ThreadPoolExecutor(6) as threads:
        texts = threads.submit(small.embed_texts, TEXTS)
        together = list(threads.map(small.embed_images, works))
        assert np.array_equal(texts.result(), alone[1])
    for found, expected in zip(together, alone[0], strict=True):
        assert np.array_equal(found, expected)


def test_scores_and_logits(small: ImageEncoderClient) -> None:
    images = some(len(TEXTS))
    vectors, words = small.embed_images(images), small.embed_texts(TEXTS)
    np.testing.assert_allclose(small.score(images, TEXTS), (vectors * words).sum(1), atol=1e-6)
    scale = small.model.scale.exp().item()
    np.testing.assert_allclose(small.logits(vectors, words), scale * vectors @ words.T, atol=1e-4)
    assert not small.independent


def test_images_are_prepared_elsewhere_and_only_so_many_ahead(
    small: ImageEncoderClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, ended, most, where, prepare = 0, 0, 0, set(), small.model.row
    run = small.host.engine.runners[small.see].run  # type: ignore[attr-defined]

    def row(image: Image.Image) -> Any:
        where.add(threading.current_thread().name.rpartition("_")[0])
        return prepare(image)

    def passed(rows: list[Any]) -> Any:
        nonlocal ended
        ended += len(rows)
        return run(rows)

    def opening() -> Iterator[Image.Image]:
        nonlocal taken, most
        for image in some(60):
            taken += 1
            most = max(most, taken - ended)
            yield image

    monkeypatch.setattr(small.model, "row", row)
    monkeypatch.setattr(small.host.engine.runners[small.see], "run", passed)
    assert len(small.embed_images(opening())) == 60
    assert where == {"mmgen-images"} and most <= 2 * 2 * AHEAD + 2


def test_a_bad_image_ends_its_own_call(small: ImageEncoderClient) -> None:
    file, request = io.BytesIO(), Request.new()
    tiny_vision.image(90, 90).save(file, "JPEG")
    bad = Image.open(io.BytesIO(file.getvalue()[:900]))
    with pytest.raises(OSError, match="truncated"):
        small.embed_images([*some(5), bad, *some(5)], request)
    assert request.cancelled
    assert small.embed_images(some(2)).shape == (2, 24)


def test_a_cancelled_request(small: ImageEncoderClient) -> None:
    request = Request.new()
    request.cancel()
    with pytest.raises(Cancelled):
        small.embed_images(some(3), request)


def test_a_model_that_breaks_fails_the_job(small: ImageEncoderClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rows: Any) -> Any:
        raise ValueError("no memory")

    monkeypatch.setattr(small.host.engine.runners[small.see], "run", broken)
    with pytest.raises(JobFailed, match="ValueError: no memory"):
        small.embed_images(some(3))


def test_a_classifier(seer: Runtime, tiny_vit: Path) -> None:
    client = seer.seeing(str(tiny_vit))
    assert client.labels == ("cat", "dog", "car") and not client.reads_texts
    np.testing.assert_allclose(client.classify(some(5)), client.model.classify(some(5)), atol=1e-5)
    assert client.classify([]).shape == (0, 3) and client.embed_images(some(1)).shape == (1, 32)
    with pytest.raises(BadRequest, match="has no text encoder; take a dual encoder"):
        client.embed_texts(["a"])


def test_clip_has_no_labels_of_its_own(client: ImageEncoderClient) -> None:
    with pytest.raises(BadRequest, match="has no labels; take a checkpoint with a classifier, or CLIP with labels of your own"):
        client.classify(some(1))


def test_an_encoder_that_only_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu")) as rt:
        monkeypatch.setattr(rt, "image_encoder", lambda reference: object())
        with pytest.raises(BadRequest, match="only says how well images show texts"):
            rt.seeing("bright")
