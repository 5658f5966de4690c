"""Captions by tiny random checkpoints of four kinds: the words that transformers itself writes, one request after another."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_captioners
import torch
import transformers
from PIL import Image

from mmgen.config import RuntimeConfig
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, BadWeights, Cancelled, DeadlineExceeded
from mmgen.pipelines.factory import pipeline
from mmgen.runners.caption import CaptionModel, CaptionRequest, CaptionRunner
from mmgen.runtime import Runtime

IMAGE = Image.linear_gradient("L").convert("RGB").resize((50, 40))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: tiny_captioners.saved(kind, tmp_path_factory.mktemp(kind)) for kind in tiny_captioners.MADE}


@pytest.fixture
def rt(tmp_path: Path) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu")) as made:
        yield made


def upstream(folder: Path, prompt: str, **more: Any) -> str:
    """What the library's documentation does."""
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    inputs = processor(images=IMAGE, return_tensors="pt", **({"text": prompt} if prompt else {}), **more)
    out = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return " ".join(processor.batch_decode(out, skip_special_tokens=True)[0].split())


@pytest.mark.parametrize("prompt", ["", "w3 w4"])
def test_blip(folders: dict[str, Path], prompt: str) -> None:
    found = CaptionModel.load(folders["blip"]).write(CaptionRequest(IMAGE, prompt, 8), lambda: None)
    assert found == upstream(folders["blip"], prompt) and found.startswith(prompt)


def test_git(folders: dict[str, Path]) -> None:
    model = CaptionModel.load(folders["git"])
    assert model.write(CaptionRequest(IMAGE, "", 8), lambda: None) == upstream(folders["git"], "")
    assert model.write(CaptionRequest(IMAGE, "w3 w4", 8), lambda: None).startswith("w3 w4")


def test_an_encoder_decoder_without_a_processor(folders: dict[str, Path]) -> None:
    model = CaptionModel.load(folders["encoder-decoder"])
    images = transformers.AutoImageProcessor.from_pretrained(folders["encoder-decoder"])
    out = model.model.generate(**images(IMAGE, return_tensors="pt"), max_new_tokens=8, do_sample=False)
    expected = model.processor.decode(out[0], skip_special_tokens=True)
    assert model.write(CaptionRequest(IMAGE, "", 8), lambda: None) == expected
    with pytest.raises(BadRequest, match="takes no prompt; leave it out"):
        model.write(CaptionRequest(IMAGE, "w3"), lambda: None)


def test_one_that_is_talked_to(folders: dict[str, Path]) -> None:
    model = CaptionModel.load(folders["llava"])
    assert model.talks
    text = "user <image> w3 w4 "
    inputs = model.processor(images=IMAGE, text=text, return_tensors="pt")
    out = model.model.generate(**inputs, max_new_tokens=8, do_sample=False)[0][inputs["input_ids"].shape[1] :]
    expected = model.processor.tokenizer.decode(out, skip_special_tokens=True)
    assert model.write(CaptionRequest(IMAGE, "w3 w4", 8), lambda: None) == " ".join(expected.split())


def test_through_the_pipeline(rt: Runtime, folders: dict[str, Path], tmp_path: Path) -> None:
    IMAGE.save(tmp_path / "a.png")
    made = pipeline("caption", runtime=rt, model=str(folders["blip"]))
    found = made(tmp_path / "a.png", max_tokens=8)
    assert found.text == upstream(folders["blip"], "") and found.image == "a.png" and str(found) == found.text
    rt.sleep(str(folders["blip"]), drop=True)  # it comes back when it is needed
    assert made(tmp_path / "a.png", max_tokens=2).text == " ".join(found.text.split()[:2])


def test_one_that_is_talked_to_writes_its_caption_beside_texts(rt: Runtime, folders: dict[str, Path]) -> None:
    folder = str(folders["llava"])
    made = pipeline("caption", runtime=rt, model=folder)
    for prompt in ("", "w3 w4"):
        expected = CaptionModel.load(folders["llava"]).write(CaptionRequest(IMAGE, prompt, 8), lambda: None)
        assert made(IMAGE, prompt=prompt, max_tokens=8).text == expected
    assert set(rt.engine.runners) == {"call", f"text:{folder}"}


def test_cancelled_and_late(folders: dict[str, Path]) -> None:
    runner = CaptionRunner(CaptionModel.load(folders["blip"]))
    cancelled, late, good = (Job("caption", CaptionRequest(IMAGE, "", 8), request) for request in
                             (Request.new(), Request.new(timeout_s=1e-9), Request.new()))  # fmt: skip
    cancelled.request.cancel()
    runner.step([cancelled, late, good])
    assert isinstance(cancelled.future.exception(), Cancelled) and isinstance(late.future.exception(), DeadlineExceeded)
    assert good.future.result() == upstream(folders["blip"], "")


def test_checkpoints_that_cannot_be_used(folders: dict[str, Path], tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="is of type llama, which captions no images; take BLIP"):
        CaptionModel.load(tiny_llama)
    bare = shutil.copytree(folders["blip"], tmp_path / "bare")
    for name in ("processor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (bare / name).unlink()
    with pytest.raises(BadWeights, match="has no processor that can be read"):
        CaptionModel.load(bare)
    (bare / "model.safetensors").rename(bare / "model.gone")
    torch.save({}, bare / "pytorch_model.bin")
    with pytest.raises(BadWeights, match="holds only pickled weights"):
        CaptionModel.load(bare)
    with pytest.raises(BadRequest, match="precision 'int3' is unknown"):
        CaptionModel.load(folders["blip"], precision="int3")


def test_what_a_caller_can_get_wrong(rt: Runtime, folders: dict[str, Path]) -> None:
    caption = pipeline("caption", runtime=rt)
    with pytest.raises(BadRequest, match="no model that writes captions comes with mmgen; name one"):
        caption(IMAGE)
    with pytest.raises(BadRequest, match="max_tokens is 0; it can be 1 to 4096"):
        caption(IMAGE, model=str(folders["blip"]), max_tokens=0)
    with pytest.raises(BadRequest, match="embedded:minilm is of kind encoder, not captioner"):
        caption(IMAGE, model="embedded:minilm")
