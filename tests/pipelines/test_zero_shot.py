"""Labels for an image: by colours, by CLIP's and a classifier's own numbers, and what a caller can get wrong."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
from color_encoder import drawn
from PIL import Image

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, NotFound, UnreadableFile
from mmgen.pipelines.image.label_scores import ranked
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.pipelines.zero_shot import ZeroShotImage
from mmgen.runtime import Runtime


def test_the_best_label(painter: Runtime, tmp_path: Path) -> None:
    found = ZeroShotImage(painter)(drawn(tmp_path / "apple.png", "red"), labels="green, red ,blue")
    assert found.best == "red" and found.image == "apple.png" and not found.independent
    assert sum(one.probability for one in found.labels) == pytest.approx(1)
    assert [one.probability for one in found.labels] == sorted((one.probability for one in found.labels), reverse=True)
    assert str(found).splitlines()[0].endswith("  red")


def test_many_images_embed_their_labels_once(painter: Runtime, tmp_path: Path) -> None:
    made = [drawn(tmp_path / "a.png", "red"), Image.new("RGB", (9, 9), "blue")]
    before = list(painter.image_encoder().read)  # type: ignore[attr-defined]
    found = ZeroShotImage(painter).judge(made, labels=["red", "blue"], template="all {} here", k=1)
    assert [one.best for one in found] == ["red", "blue"] and [len(one.labels) for one in found] == [1, 1]
    assert painter.image_encoder().read[len(before) :] == ["all red here", "all blue here"]  # type: ignore[attr-defined]


def test_alone_and_in_company(painter: Runtime) -> None:
    images = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "white")]
    zero_shot, labels = ZeroShotImage(painter), ["red", "blue", "black"]
    together = zero_shot.judge(images, labels=labels)
    for found, alone in zip(together, (zero_shot(image, labels=labels) for image in images), strict=True):
        assert [one.label for one in found.labels] == [one.label for one in alone.labels]
        assert [one.logit for one in found.labels] == pytest.approx([one.logit for one in alone.labels], abs=1e-4)


def test_clips_own_probabilities(seer: Runtime) -> None:
    image, labels = tiny_vision.image(40, 30), ["w1 w2", "w3", "w9"]
    found = {one.label: one.probability for one in ZeroShotImage(seer)(image, labels=labels).labels}
    model: Any = seer.image_encoder()
    logits = model.logits(model.embed_images([image]), model.embed_texts(labels))[0]
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose([found[label] for label in labels], expected, atol=1e-5)


def test_a_classifiers_own_labels(seer: Runtime, tiny_vit: Path) -> None:
    found = ZeroShotImage(seer, model=str(tiny_vit))(tiny_vision.image(40, 30))
    assert sorted(one.label for one in found.labels) == ["car", "cat", "dog"]
    assert sum(one.probability for one in found.labels) == pytest.approx(1)
    with pytest.raises(BadRequest, match="has no text encoder"):
        ZeroShotImage(seer, model=str(tiny_vit))(tiny_vision.image(40, 30), labels=["a", "b"])


def test_the_embedded_models_know_each_others_images(tmp_path: Path) -> None:
    """What the one draws, the other calls by its name: both heard the words, and neither saw the other."""
    names = ["pizza", "sun", "strawberry", "house", "dog face"]
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu")) as rt:
        drawn = Txt2Img(rt)(names, seed=3, steps=10).images
        found = ZeroShotImage(rt).judge(drawn, labels=names)
    assert sum(one.best == name for one, name in zip(found, names, strict=True)) >= 4


def test_a_sigmoid_judges_each_by_itself() -> None:
    found = ranked(["a", "b", "c"], np.array([0.0, 1000.0, -1000.0]), independent=True)
    assert [(one.label, one.probability) for one in found] == [("b", 1.0), ("a", 0.5), ("c", pytest.approx(0))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, "there are no labels; give some to choose from"),
        ({"labels": ""}, "there are no labels"),
        ({"labels": "cat,,dog"}, "label 2 of 3 is empty; take the comma out"),
        ({"labels": ["cat", "dog", "Cat"]}, 'label "Cat" is there twice; give every label once'),
        ({"labels": ["cat", 3]}, "a label is 3; labels are texts"),
        ({"labels": [str(n) for n in range(10_001)]}, "there are 10,001 labels; 10,000 can be compared"),
        ({"labels": "cat,dog", "template": "a photo"}, "template is 'a photo'; it needs {} where the label goes"),
        ({"labels": "cat,dog", "k": -1}, r"k is -1; it can be 0 \(all\) or more"),
    ],
)
def test_what_a_caller_can_get_wrong(painter: Runtime, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        ZeroShotImage(painter)(Image.new("RGB", (4, 4)), **options)


def test_what_is_no_image(painter: Runtime, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("text")
    with pytest.raises(UnreadableFile, match="is no image"):
        ZeroShotImage(painter)(tmp_path / "a.png", labels="a,b")
    with pytest.raises(NotFound, match="does not exist"):
        ZeroShotImage(painter)(tmp_path / "b.png", labels="a,b")
