"""Repositories of a hub on this machine: what is fetched, what is resumed, and one line for each thing that goes wrong."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_call import Call
from fake_hub import COMMIT, FakeHub

from mmgen import hub, hub_download
from mmgen.errors import BadRequest, BadWeights, MmgenError, NotFound, TooLarge
from mmgen.hub_download import Repository
from mmgen.image_params import LoraWeight

LARGE = os.urandom(1_300_000)
PIPELINE = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "U"], "safety_checker": ["s", "S"]}


def json_file(**values: object) -> bytes:
    return json.dumps(values).encode()


@pytest.fixture
def language(fake_hub: FakeHub) -> FakeHub:
    """One model in two spellings, and for other programs."""
    fake_hub.repositories["org/words"] = {
        "README.md": b"# words", "config.json": json_file(model_type="llama"), "tokenizer.json": json_file(version="1.0"),
        "model.safetensors": LARGE, "consolidated.safetensors": LARGE[:999], "pytorch_model.bin": LARGE[:998],
        "onnx/model.onnx": LARGE[:997], "onnx/config.json": b"{}", "params.json": json_file(dim=8),
    }  # fmt: skip
    return fake_hub


def cached(repository: str = "org/words") -> Path:
    found = Repository(repository).snapshot
    assert found is not None
    return found


def test_what_is_read_is_fetched_once(language: FakeHub, capfd: pytest.CaptureFixture[str]) -> None:
    folder = hub.resolve("org/words")
    assert sorted(language.fetched) == ["config.json", "model.safetensors", "params.json", "tokenizer.json"]
    assert language.fetched[-1] == "model.safetensors" and (folder / "model.safetensors").read_bytes() == LARGE
    assert folder == cached() and capfd.readouterr().err == ""
    language.status = 500
    assert hub.resolve("org/words") == hub.resolve("org/words@main") == hub.resolve(f"org/words@{COMMIT}") == folder
    (entry,) = [one for one in hub.models() if one.reference == "org/words"]
    assert entry.bytes == len(LARGE)


def test_a_pipeline_in_one_variant(fake_hub: FakeHub, call: Call) -> None:
    stem = "unet/diffusion_pytorch_model"
    fake_hub.repositories["org/draws"] = {
        "model_index.json": json_file(**PIPELINE), "unet/config.json": b"{}", f"{stem}.safetensors": b"full",
        f"{stem}.fp16.safetensors": b"half", "draws.safetensors": b"all in one", "safety_checker/config.json": b"{}",
        "safety_checker/model.safetensors": b"checker",
    }  # fmt: skip
    done = call("pull", "org/draws", "--variant", "fp16")
    folder = cached("org/draws")
    assert (done.code, done.out) == (0, f"org/draws: 0 MB in {folder}\n")
    assert [one for one in fake_hub.fetched if one.endswith(".safetensors")] == [f"{stem}.fp16.safetensors"]
    assert hub.resolve("org/draws") == folder, "what is there is used"


def test_gguf_files_are_fetched_alone(fake_hub: FakeHub) -> None:
    names = ["README.md", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "big-F32-00001-of-00002.gguf", "big-F32-00002-of-00002.gguf"]
    fake_hub.repositories["org/tiny-gguf"] = {name: b"GGUF " + name.encode() for name in names}
    assert hub.resolve("org/tiny-gguf:F32") == cached("org/tiny-gguf") / "big-F32-00001-of-00002.gguf"
    assert sorted(fake_hub.fetched) == names[3:]
    assert hub.resolve("org/tiny-gguf:Q4_K_M").name == "tiny-Q4_K_M.gguf" and fake_hub.fetched[2:] == ["tiny-Q4_K_M.gguf"]
    with pytest.raises(NotFound, match=r"org/tiny-gguf has no GGUF file Q2_K; there are big-F32"):
        hub.resolve("org/tiny-gguf:Q2_K")
    fake_hub.status = 500
    assert hub.resolve("org/tiny-gguf:F32").name == "big-F32-00001-of-00002.gguf"


def test_where_nobody_says_which_gguf_file(fake_hub: FakeHub) -> None:
    fake_hub.repositories["org/g"] = {name: b"GGUF" + name.encode() for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf")}
    assert hub.resolve("org/g").name == "a-Q4_K_M.gguf" and fake_hub.fetched == ["a-Q4_K_M.gguf"]


def test_interrupted_and_resumed(language: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file is kept where it goes on from, and is no model."""
    from huggingface_hub import constants, file_download

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    language.breaks["model.safetensors"] = 900_000
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(file_download.time, "sleep", stop)  # before the library's own second try
        hub.resolve("org/words")
    assert not (cached() / "model.safetensors").exists() and (cached() / "config.json").is_file()
    assert [one.reference for one in hub.models() if one.reference.startswith("org/")] == []
    folder = hub.resolve("org/words")
    assert (folder / "model.safetensors").read_bytes() == LARGE
    assert language.fetched[-2:] == ["model.safetensors"] * 2 and 0 < language.starts[-1] <= 900_000


def test_a_wrong_digest(language: FakeHub) -> None:
    language.false["model.safetensors"] = LARGE[::-1]
    with pytest.raises(
        BadWeights, match=r"org/words: model\.safetensors arrived with sha256 .*; nothing of it was kept, try again"
    ) as error:
        hub.resolve("org/words")
    assert "\n" not in str(error.value) and not (cached() / "model.safetensors").exists()
    language.false.clear()
    assert (hub.resolve("org/words") / "model.safetensors").read_bytes() == LARGE


def test_a_full_disk(language: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000, total=1, used=1))
    with pytest.raises(TooLarge, match=r"org/words needs 0\.0 GB in .*cache, 0\.0 GB are free; make room, or set HF_HOME"):
        hub.resolve("org/words")
    assert language.fetched == []
    full = hub_download.refusal("org/words", OSError(28, "No space left on device"))
    assert isinstance(full, TooLarge) and "make room" in str(full)


@pytest.mark.parametrize(
    ("reference", "status", "said"),
    [
        ("org/other", 0, "does not exist, is private, or asks you to accept terms"),
        ("org/words@v7", 0, "exists, but not in this revision"),
        ("org/words", 503, "could not be downloaded .*; what came is kept, try again to go on"),
        ("org/words:Q8_0", 0, r"has no \*\.gguf; leave out what stands behind the colon"),
    ],
)
def test_what_the_hub_refuses(
    language: FakeHub, monkeypatch: pytest.MonkeyPatch, reference: str, status: int, said: str
) -> None:
    from huggingface_hub.utils import _http

    monkeypatch.setattr(_http.time, "sleep", lambda _: None)
    language.status = status
    with pytest.raises(MmgenError, match=said) as error:
        hub.resolve(reference)
    assert "\n" not in str(error.value) and language.fetched == []


def test_a_lora_of_a_repository(fake_hub: FakeHub) -> None:
    """The usual file, one alone, or the one that is named; nothing else is fetched, and nothing twice."""
    usual, own = "pytorch_lora_weights.safetensors", "sub/oil.safetensors"
    fake_hub.repositories["org/lora"] = {"README.md": b"x", usual: b"usual", own: b"own", "adapter_config.json": b"{}"}
    fake_hub.repositories["org/many"] = {"a.safetensors": b"a", "b.safetensors": b"b"}
    assert hub.adapter("org/lora").read_bytes() == b"usual" and sorted(fake_hub.fetched) == ["adapter_config.json", usual]
    assert LoraWeight.read(f"org/lora:{own}@0.5") == LoraWeight(cached("org/lora") / own, 0.5)
    fake_hub.status = 500
    assert hub.adapter(f"org/lora@main:{own}").read_bytes() == b"own"
    fake_hub.status = 0
    with pytest.raises(BadRequest, match=r"LoRA org/many holds 2 files; name one, such as org/many:a\.safetensors"):
        hub.adapter("org/many")
    with pytest.raises(NotFound, match=r"is not in org/many; it holds a\.safetensors, b\.safetensors"):
        LoraWeight.read("org/many:c.safetensors@0.5")
    with pytest.raises(NotFound, match=r"LoRA org/gone\.safetensors does not exist; give a safetensors file"):
        LoraWeight.read("org/gone.safetensors@0.5")
