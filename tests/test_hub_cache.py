"""What was downloaded, and its removal: by `mmgen models --size` and `mmgen rm` too."""

import json
from pathlib import Path

import pytest
from cli_call import Call
from fake_hub import FakeHub

from mmgen import embedded, hub, hub_cache
from mmgen.errors import BadRequest, NotFound


@pytest.fixture
def downloaded(fake_hub: FakeHub) -> FakeHub:
    """A folder of 3 MB, and two GGUF files of one repository."""
    fake_hub.repositories["org/words"] = {"config.json": b"{}", "model.safetensors": b"w" * 3_000_000}
    fake_hub.repositories["org/packed"] = {"a-Q4_0.gguf": b"4" * 1_000_000, "a-Q8_0.gguf": b"8" * 2_000_000}
    for reference in ("org/words", "org/packed:Q4_0", "org/packed:Q8_0"):
        hub.resolve(reference)
    return fake_hub


def names() -> list[str]:
    return [one.reference for one in hub_cache.usage()]


def test_sizes(downloaded: FakeHub, call: Call) -> None:
    found = {one.reference: one for one in hub_cache.usage()}
    assert list(found) == ["org/packed", "org/words"] and 3.0e6 <= found["org/packed"].bytes < 3.1e6
    blobs = found["org/words"].path / "blobs"
    (blobs / f"{'0' * 64}.incomplete").write_bytes(b"x" * 5_000_000)
    head, first, *_, last = call("models", "--size").out.splitlines()
    assert head.split() == ["reference", "on", "disk", "unfinished", "where"]
    assert first.split()[:5] == ["org/words", "3", "MB", "5", "MB"] and last.startswith("all         11 MB")
    told = json.loads(call("models", "--size", "--json").out)
    assert told[0]["reference"] == "org/words" and told[0]["partial"] == 5_000_000


def test_nothing(fake_hub: FakeHub, call: Call) -> None:
    assert "nothing was downloaded" in call("models", "--size").out


def test_a_repository_is_removed_when_asked_for(downloaded: FakeHub, call: Call) -> None:
    refused = call("rm", "org/words", stdin=b"n\n")
    assert (refused.code, refused.out[-20:]) == (1, "nothing was removed\n") and names() == ["org/packed", "org/words"]
    alone = call("rm", "org/words")
    assert alone.code == 2 and "nothing was removed; give --yes where nobody can be asked" in alone.err
    done = call("rm", "org/words", "--yes")
    assert (done.code, done.out) == (0, "removed org/words: 3 MB free again\n") and names() == ["org/packed"]
    assert call("rm", "org/packed", stdin=b"y\n").code == 0 and names() == []


def test_one_gguf_file(downloaded: FakeHub, call: Call) -> None:
    done = call("rm", "org/packed:Q8_0", "--yes")
    assert done.out == "removed org/packed:a-Q8_0.gguf: 2 MB free again\n"
    assert [one.reference for one in hub.models() if one.reference.startswith("org/packed")] == ["org/packed:a-Q4_0.gguf"]
    assert hub_cache.usage()[1].bytes < 1.1e6
    with pytest.raises(NotFound, match="has no GGUF file Q8_0"):
        hub_cache.find("org/packed:Q8_0")


def test_content_that_two_files_have_stays(fake_hub: FakeHub) -> None:
    fake_hub.repositories["org/twice"] = {"a-Q4_0.gguf": b"same", "b-Q8_0.gguf": b"same"}
    for reference in ("org/twice:Q4_0", "org/twice:Q8_0"):
        hub.resolve(reference)
    hub_cache.remove(hub_cache.find("org/twice:Q4_0")[1])
    assert hub.resolve("org/twice:Q8_0").read_bytes() == b"same"


def test_what_is_never_removed(downloaded: FakeHub, tmp_path: Path, call: Call) -> None:
    own = tmp_path / "own"
    own.mkdir()
    with pytest.raises(BadRequest, match="is a file or folder of your own, not a download"):
        hub_cache.find(str(own))
    with pytest.raises(BadRequest, match="comes with the installation"):
        hub_cache.find("embedded:minilm")
    for reference in ("org/other", "no reference", "embedded:nothing"):
        with pytest.raises(NotFound, match=r"was not downloaded|is not on this machine"):
            hub_cache.find(reference)
    failed = call("rm", str(own), "--yes")
    assert failed.code == 2 and own.is_dir() and failed.err.count("\n") == 1


def test_an_embedded_model_that_was_pulled(fake_hub: FakeHub, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    class Pulled(embedded.EmbeddedModel):
        @property
        def folder(self) -> Path:
            return home / "models" / "tiny"

    model = Pulled("embedded:tiny", "text", "home:models/tiny", "", "")
    monkeypatch.setitem(embedded.EMBEDDED, model.reference, model)
    with pytest.raises(NotFound, match="is not on this machine"):
        hub_cache.find("embedded:tiny")
    model.folder.mkdir(parents=True)
    (model.folder / "tiny.gguf").write_bytes(b"GGUF")
    assert names() == ["embedded:tiny"]
    hub_cache.remove(hub_cache.find("embedded:tiny")[1])
    assert not model.folder.exists()
