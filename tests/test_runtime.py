"""The wiring over tiny models: what loads, what it is called, and who gets what through the engine."""

import json
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from platformdirs import user_data_path
from tiny_models import make_encoder, make_reader

from mmgen import deprecated, runtime
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, BadWeights, Busy, Cancelled, Closed, ConfigError, NotFound, TooLarge
from mmgen.models.reader.model import FreeText
from mmgen.runtime import Runtime

TEXTS = ["The lamp was lit in 1823.", "Tea.", "Bees dance to tell where flowers are."]


def test_vectors_through_the_engine_are_the_models_own(tiny_runtime: Runtime) -> None:
    client = tiny_runtime.encoder()
    np.testing.assert_allclose(client.embed_text(TEXTS), client.model.embed_text(TEXTS), atol=1e-6)
    assert client.embed_text([]).shape == (0, client.dimension)
    assert tiny_runtime.encoder() is client


def test_answers_through_the_engine_are_the_models_own(tiny_runtime: Runtime) -> None:
    client = tiny_runtime.reader()
    alone = [client.model.read([pair])[0] for pair in client.model.pairs("what?", TEXTS)]
    found = client.read("what?", TEXTS)
    for ours, theirs in zip(found, alone, strict=True):
        assert not ours or [(f.start, f.end) for f in ours] == [(f.start, f.end) for f in theirs]
    assert all(found[:2]), "further passages are read unless these answer for sure"
    assert client.read("what?", []) == []


def test_written_text_grows(tiny_runtime: Runtime) -> None:
    written = list(tiny_runtime.reader().write("what?", TEXTS[0]))
    assert len(written) > 1 and written[-1] == written[-2], "the last is the result"
    lengths = [len(text) for text in written]
    assert lengths == sorted(lengths)


def test_leaving_a_stream_cancels_its_request(tiny_runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = tiny_runtime.reader()

    def endless(writing: FreeText) -> bool:
        time.sleep(0.001)
        writing.ids.append(1000)
        return True

    monkeypatch.setattr(reader.model, "write", endless)
    request = Request.new()
    stream = reader.write("what?", TEXTS[0], request)
    next(stream)
    stream.close()
    with pytest.raises(Cancelled):
        tiny_runtime.encoder().embed_text(["late"], request)


def test_threads_load_a_model_once(tiny_encoder: Path, tmp_path: Path) -> None:
    with Runtime(RuntimeConfig(home=tmp_path, encoder=str(tiny_encoder))) as rt:
        found: list[object] = []
        threads = [threading.Thread(target=lambda: found.append(rt.encoder())) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6 and len({id(client) for client in found}) == 1


def test_precisions_are_models_of_their_own(tiny_runtime: Runtime, tiny_encoder: Path) -> None:
    plain, rounded = tiny_runtime.encoder(), tiny_runtime.encoder(f"{tiny_encoder}#int8")
    cosines = (plain.embed_text(TEXTS) * rounded.embed_text(TEXTS)).sum(1)
    assert 0.95 < cosines.min() < 1 - 1e-7
    with pytest.raises(BadRequest, match=r"int4.*fp32, bf16 or int8"):
        tiny_runtime.encoder(f"{tiny_encoder}#int4")


def test_home_comes_from_the_environment_or_the_platform(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Runtime() as rt:
        assert rt.home == home
    monkeypatch.delenv("MMGEN_HOME")
    with Runtime(RuntimeConfig()) as rt:
        assert rt.home == user_data_path("mmgen", appauthor=False)


def test_the_configuration_of_the_home_is_taken(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("encoder: elsewhere/model\n")
    with Runtime() as rt:
        assert rt.config.encoder == "elsewhere/model"
    with Runtime(RuntimeConfig()) as rt:
        assert rt.config.encoder == "embedded:minilm"
    (home / "config.yaml").write_text("encodr: x\n")
    with pytest.raises(ConfigError, match=r'config.yaml: unknown key "encodr" \(did you mean "encoder"\?\)'):
        Runtime()


def test_a_model_of_another_kind(tiny_runtime: Runtime) -> None:
    with pytest.raises(BadRequest, match="embedded:reader is of kind reader, not encoder"):
        tiny_runtime.encoder("embedded:reader")
    with pytest.raises(BadRequest, match="embedded:minilm is of kind encoder, not reader"):
        tiny_runtime.reader("embedded:minilm")
    with pytest.raises(NotFound, match='did you mean "embedded:minilm"'):
        tiny_runtime.encoder("embedded:minilmm")


def test_damaged_models_leave_the_runtime_working(tiny_runtime: Runtime, tmp_path: Path) -> None:
    encoder = make_encoder(tmp_path / "encoder")
    reader = make_reader(tmp_path / "reader", encoder)
    weights = reader / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BadWeights, match=r"reader/model\.safetensors is damaged"):
        tiny_runtime.reader(str(reader))
    (encoder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(BadWeights, match=r"config\.json lacks"):
        tiny_runtime.encoder(str(encoder))
    assert tiny_runtime.encoder().embed_text(TEXTS).shape == (3, 32)


def test_a_closed_runtime_says_so(tiny_encoder: Path, tmp_path: Path) -> None:
    rt = Runtime(RuntimeConfig(home=tmp_path, encoder=str(tiny_encoder)))
    client = rt.encoder()
    rt.close()
    rt.close()
    with pytest.raises(Closed, match="make a new Runtime"):
        client.embed_text(TEXTS)


def test_the_shared_runtime_is_made_anew_after_closing(home: Path) -> None:
    first = Runtime.shared()
    assert Runtime.shared() is first
    first.close()
    second = Runtime.shared()
    assert second is not first
    second.close()


def test_a_model_sleeps_and_comes_back_for_a_job(tiny_encoder: Path, tiny_reader: Path, tmp_path: Path) -> None:
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu", encoder=str(tiny_encoder), reader=str(tiny_reader))) as rt:
        vectors = rt.encoder().embed_text(TEXTS)
        found = rt.reader().read("what?", TEXTS)
        weights = rt.engine.ledger.by_kind()["weights"]
        assert weights > 2 * 30522 * 32 * 4
        states = {}
        for name in (str(tiny_encoder), str(tiny_reader)):
            rest(rt, name)
            states |= {one.name: one.state for one in rt.engine.models}
        assert set(states.values()) == {"asleep"} and rt.engine.ledger.held == 0
        np.testing.assert_array_equal(rt.encoder().embed_text(TEXTS), vectors)
        assert rt.reader().read("what?", TEXTS) == found
        rt.wake(str(tiny_encoder))
        assert rt.engine.ledger.by_kind()["weights"] == weights
        rt.pin(str(tiny_encoder))
        with pytest.raises(Busy, match="is pinned; unpin it first"):
            rt.sleep(str(tiny_encoder))
        with pytest.raises(NotFound, match="no model embedded:minilm was loaded"):
            rt.sleep("embedded:minilm")


def rest(rt: Runtime, name: str) -> None:
    """Its last job may not be quite over."""
    for _ in range(200):
        try:
            rt.sleep(name)
            break
        except Busy:
            time.sleep(0.005)


def test_models_leave_for_each_other_under_a_limit(tiny_encoder: Path, tiny_reader: Path, tmp_path: Path) -> None:
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu", encoder=str(tiny_encoder), reader=str(tiny_reader))) as rt:
        vectors, found = rt.encoder().embed_text(TEXTS), rt.reader().read("what?", TEXTS)
        most = max(one.nbytes for one in rt.engine.models)
    limit = RuntimeConfig(
        home=tmp_path, device="cpu", encoder=str(tiny_encoder), reader=str(tiny_reader), memory_limit=most + 10_000
    )
    with Runtime(limit) as rt:
        for _ in range(3):
            np.testing.assert_array_equal(rt.encoder().embed_text(TEXTS), vectors)
            assert rt.reader().read("what?", TEXTS) == found
        assert rt.engine.models.evictions >= 5
    with Runtime(RuntimeConfig(home=tmp_path, device="cpu", encoder=str(tiny_encoder), memory_limit=1_000_000)) as rt:
        with pytest.raises(TooLarge, match=r"model encoder .* needs 3,9\d\d,\d\d\d bytes, the device's limit is 1,000,000"):
            rt.encoder()
        assert rt.engine.ledger.held == 0


def test_policy_trace_and_metrics_come_from_the_configuration(tiny_encoder: Path, tmp_path: Path) -> None:
    config = RuntimeConfig(home=tmp_path, device="cpu", encoder=str(tiny_encoder), policy="fifo", trace=tmp_path / "trace.json")
    with Runtime(config) as rt:
        assert type(rt.engine.scheduler.policy).__name__ == "Fifo" and rt.engine.scheduler.max_gap_ms is None
        rt.encoder().embed_text(TEXTS)
        measured = rt.engine.ledger.measured()
        assert measured["process"] > 10_000_000
    assert f'"name":"encode:{tiny_encoder} x1"' in (tmp_path / "trace.json").read_text()
    with pytest.raises(NotFound, match=r'there is no policy "fare" \(did you mean "fair"\?\)'):
        Runtime(RuntimeConfig(home=tmp_path, policy="fare"))


def test_the_old_way_to_a_library_works_and_says_what_replaces_it(
    tiny_runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deprecated, "_told", set())
    with pytest.warns(
        DeprecationWarning, match=r"Runtime\.library is mmgen\.library\.document_library\.DocumentLibrary\.open now"
    ):
        library = tiny_runtime.library("notes")
    assert library.path == tiny_runtime.home / "stores" / "notes"


def test_memory_is_measured_while_torch_is_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    assert runtime._measured("auto")["process"] > 0
    runtime._free_memory()
