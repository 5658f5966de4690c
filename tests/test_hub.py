"""References to folders without a network: embedded, local, and repo ids that nobody can fetch."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmgen import embedded, hub, weight_files
from mmgen.errors import BadRequest, BadWeights, NotFound

MINILM = "embedded:minilm"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache, and a hub at a port where nobody listens."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    return tmp_path / "cache"


def model(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        save_file({"x": torch.zeros(2)}, folder / name)
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An embedded model whose weights are not what the checksum says."""
    assets = tmp_path / "assets"
    model(assets / "models" / "odd", "model.safetensors")
    odd = embedded.EmbeddedModel("embedded:odd", "encoder", "assets:models/odd", "Apache-2.0", "odd")
    monkeypatch.setitem(embedded.EMBEDDED, odd.reference, odd)
    monkeypatch.setattr(embedded, "assets_dir", lambda: assets)
    (assets / "models" / "checksums.json").write_text(json.dumps({"odd/model.safetensors": "0" * 64}))
    yield odd.reference


def test_an_embedded_model() -> None:
    folder = hub.resolve(MINILM, kind="encoder")
    assert (folder / "model.safetensors").is_file() and embedded.verify(MINILM) is None


def test_a_damaged_embedded_model(damaged: str) -> None:
    with pytest.raises(BadWeights, match=r"embedded:odd is damaged: .* expected 000000000000\.\.\.; reinstall mmgen"):
        hub.resolve(damaged)
    problem = embedded.verify(damaged)
    assert problem is not None and "\n" not in problem


def test_a_repaired_model_is_seen(damaged: str) -> None:
    assert embedded.verify(damaged)
    weights = embedded.EMBEDDED[damaged].folder / "model.safetensors"
    checksum = weight_files.sha256(weights)
    (embedded.assets_dir() / "models" / "checksums.json").write_text(json.dumps({"odd/model.safetensors": checksum}))
    assert embedded.verify(damaged) is None
    weights.write_bytes(weights.read_bytes() + b"x")
    assert "damaged" in str(embedded.verify(damaged))


@pytest.mark.parametrize("text", ["not json", "[]"])
def test_damaged_checksums(damaged: str, text: str) -> None:
    (embedded.assets_dir() / "models" / "checksums.json").write_text(text)
    with pytest.raises(BadWeights, match=r"checksums\.json is damaged; reinstall mmgen"):
        hub.resolve(damaged)


def test_an_embedded_model_that_is_gone(damaged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (embedded.EMBEDDED[damaged].folder / "model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"embedded:odd is not in .*; reinstall mmgen"):
        hub.resolve(damaged)
    monkeypatch.setitem(embedded.EMBEDDED, MINILM, replace(embedded.EMBEDDED[MINILM], place="no_such_package:model"))
    with pytest.raises(NotFound, match="pip install no-such-package"):
        hub.resolve(MINILM)
    assert "no-such-package" in str(embedded.verify(MINILM))


def test_kinds_and_typos() -> None:
    with pytest.raises(BadRequest, match="embedded:reader is of kind reader, not encoder; take embedded:minilm"):
        hub.resolve("embedded:reader", kind="encoder")
    with pytest.raises(NotFound, match='did you mean "embedded:minilm"'):
        hub.resolve("embedded:minlm")
    with pytest.raises(NotFound, match='did you mean "embedded:minilm"'):
        hub.resolve("minilm")
    with pytest.raises(NotFound, match=r"known: embedded:minilm"):
        hub.resolve("embedded:")


def test_a_local_folder(tmp_path: Path) -> None:
    whole = model(tmp_path / "whole", "model.safetensors")
    nested = model(tmp_path / "nested", "unet/diffusion.safetensors")
    assert hub.resolve(str(whole)) == whole and hub.resolve(str(nested)) == nested
    with pytest.raises(BadRequest, match="is a file; give the folder"):
        hub.resolve(str(whole / "config.json"))


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"holds no \*\.safetensors; give a model's folder"):
        hub.resolve(str(model(tmp_path / "empty")))


def test_pickles_are_refused_with_the_command_that_converts_them(tmp_path: Path) -> None:
    folder = model(tmp_path / "old")
    shared = torch.arange(3.0)
    torch.save({"a": shared, "b": shared}, folder / "pytorch_model.bin")
    with pytest.raises(
        BadWeights, match="only pickled weights, which can run code when read; convert them: python -c"
    ) as error:
        hub.resolve(str(folder))
    _, *words = shlex.split(str(error.value).partition("convert them: ")[2])
    subprocess.run([sys.executable, *words], check=True)
    assert hub.resolve(str(folder)) == folder
    assert (folder / "model.safetensors").is_file()


def test_pickles_in_subfolders_are_recognised(tmp_path: Path) -> None:
    folder = model(tmp_path / "old")
    (folder / "unet").mkdir()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(BadWeights, match="only pickled weights"):
        hub.resolve(str(folder))


def test_missing_shards(tmp_path: Path) -> None:
    folder = model(tmp_path / "big", "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}))
    with pytest.raises(BadWeights, match=r"lacks model-2\.safetensors, which its index names"):
        hub.resolve(str(folder))
    index.write_text("{")
    with pytest.raises(BadWeights, match=r"index\.json is damaged"):
        hub.resolve(str(folder))


@pytest.mark.parametrize("reference", ["", "a b", "org/", "a/b/c", "~/nowhere/at-all", "/nowhere/at/all", "org/name@"])
def test_what_is_no_reference(reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((NotFound, BadWeights)) as error:
        hub.resolve(reference)
    assert "\n" not in str(error.value)


def test_a_repo_id_without_a_network() -> None:
    with pytest.raises(NotFound, match="model org/name is not in the cache and the hub cannot be reached; connect once"):
        hub.resolve("org/name")


def test_a_repo_id_in_the_cache(offline: Path) -> None:
    repository = offline / "models--org--name"
    folder = model(repository / "snapshots" / ("a" * 40), "model.safetensors")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert hub.resolve("org/name") == folder
    (entry,) = [entry for entry in hub.models() if entry.reference == "org/name"]
    assert entry.path == folder and entry.kind == "text" and entry.bytes > 0


def test_models_lists_what_is_installed() -> None:
    entry = next(entry for entry in hub.models() if entry.reference == MINILM)
    assert (entry.kind, entry.licence) == ("encoder", "Apache-2.0") and 80e6 < entry.bytes < 100e6


def test_an_unreachable_hub_is_found_out_quickly() -> None:
    assert hub.reachable(timeout=1) is False


@pytest.mark.parametrize("reference", [model.reference for model in embedded.EMBEDDED.values() if not model.pulled])
def test_every_embedded_model_verifies(reference: str) -> None:
    assert embedded.verify(reference) is None


@pytest.fixture
def manifold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An embedded model of several weight files, all with their checksums."""
    assets = tmp_path / "assets"
    folder = model(assets / "models" / "many", "unet/diffusion_pytorch_model.safetensors", "upscaler/model.safetensors")
    monkeypatch.setitem(
        embedded.EMBEDDED, "embedded:many", embedded.EmbeddedModel("embedded:many", "denoiser", "assets:models/many", "", "")
    )
    monkeypatch.setattr(embedded, "assets_dir", lambda: assets)
    sums = {
        f"many/{path.relative_to(folder).as_posix()}": weight_files.file_digest(path) for path in weight_files.weights(folder)
    }
    (assets / "models" / "checksums.json").write_text(json.dumps(sums | {"other/model.safetensors": "0" * 64}))
    return folder


def test_every_weight_file_is_verified(manifold: Path) -> None:
    assert hub.resolve("embedded:many", kind="denoiser") == manifold
    weights = manifold / "upscaler" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(BadWeights, match=r"is damaged: .*upscaler/model\.safetensors has sha256"):
        hub.resolve("embedded:many")
    weights.unlink()
    assert str(embedded.verify("embedded:many")).endswith("many lacks upscaler/model.safetensors; reinstall mmgen")
    model(manifold, "unet/more.safetensors")
    assert "unet/more.safetensors has no checksum" in str(embedded.verify("embedded:many"))


def test_a_digest_over_all_weights(manifold: Path) -> None:
    before = weight_files.digest(manifold)
    (manifold / "config.json").write_text('{"a": 1}')
    assert weight_files.digest(manifold) == before and len(before) == 64
    weights = manifold / "upscaler" / "model.safetensors"
    weights.rename(weights.with_name("renamed.safetensors"))
    assert weight_files.digest(manifold) != before


def gguf(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"GGUF")
    return folder


def test_a_gguf_file_and_its_folder(tmp_path: Path) -> None:
    folder = gguf(tmp_path / "models", "a-Q8_0.gguf")
    file = folder / "a-Q8_0.gguf"
    assert [hub.resolve(str(place)) for place in (file, folder)] == [file, file]
    assert hub.kind_of(file) == "text" and weight_files.weights(file) == [file]
    assert weight_files.digest(file) == weight_files.digest(file)
    gguf(folder, "a-Q4_0.gguf")
    assert hub.resolve(f"{folder}:q8_0") == file and hub.resolve(f"{folder}:a-Q4_0") == folder / "a-Q4_0.gguf"
    with pytest.raises(BadRequest, match=r"holds 2 GGUF models; say which, as in .*models:a-Q4_0\.gguf"):
        hub.resolve(str(folder))
    with pytest.raises(NotFound, match=r"has no GGUF file Q2_K; there are a-Q4_0\.gguf, a-Q8_0\.gguf"):
        hub.resolve(f"{folder}:Q2_K")
    whole = model(tmp_path / "whole", "model.safetensors")
    with pytest.raises(NotFound, match=r"holds no \*\.gguf"):
        hub.resolve(f"{whole}:Q8_0")
    gguf(whole, "a.gguf")
    assert hub.resolve(str(whole)) == whole and hub.resolve(f"{whole}:a") == whole / "a.gguf"


def test_a_gguf_file_that_lacks_a_part(tmp_path: Path) -> None:
    folder = gguf(tmp_path / "models", "a-00001-of-00002.gguf")
    for place in (folder, folder / "a-00001-of-00002.gguf"):
        with pytest.raises(BadWeights, match=r"lacks a-00002-of-00002\.gguf, of 2 parts"):
            hub.resolve(str(place))
    gguf(folder, "a-00002-of-00002.gguf")
    assert len(weight_files.weights(hub.resolve(str(folder)))) == 2


@pytest.fixture
def repository(offline: Path) -> Path:
    """A repository of GGUF files in the cache."""
    place = offline / "models--org--tiny-gguf"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    return gguf(place / "snapshots" / "abc", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf")


def test_gguf_files_of_a_repository_in_the_cache(repository: Path) -> None:
    assert hub.resolve("org/tiny-gguf:Q8_0") == hub.resolve("org/tiny-gguf:tiny-Q8_0.gguf") == repository / "tiny-Q8_0.gguf"
    assert hub.resolve("org/tiny-gguf@main:Q4_K_M") == repository / "tiny-Q4_K_M.gguf"
    listed = [one.reference for one in hub.models() if one.reference.startswith("org/")]
    assert listed == ["org/tiny-gguf:tiny-Q4_K_M.gguf", "org/tiny-gguf:tiny-Q8_0.gguf"]
    with pytest.raises(NotFound, match=r"model org/tiny-gguf:Q2_K is not in the cache and the hub cannot be reached"):
        hub.resolve("org/tiny-gguf:Q2_K")
