"""A tiny random reader learns from what people said of its answers; what is not better is not kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.interfaces import Document
from mmgen.pipelines.rag.feedback import kept_in
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime
from mmgen.stores.relational.documents import RelationalDocumentStore
from mmgen.stores.relational.feedback import Feedback
from mmgen.training.feedback import examples
from mmgen.training.feedback.examples import GeneralQuestion
from mmgen.training.feedback.fit import AdapterSettings
from mmgen.training.recipes import reader_adapter

SETTINGS = AdapterSettings(steps=2, batch=4, rate=2e-2)
NAMES = "Ada Bo Cy Dee Eli Fay Gus Hal".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def rag(tiny_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagText]:
    rag = RagText(tiny_runtime, store=str(tmp_path_factory.mktemp("learned") / "store"))
    rag.library.add(
        documents=[Document(f"/{name}", f"{name} lit a lamp in {1800 + n}.", "text", name) for n, name in enumerate(NAMES)]
    )
    yield rag
    rag.close()


@pytest.fixture(scope="module")
def store(rag: RagText) -> RelationalDocumentStore:
    found = kept_in(rag.library, rag.library.writable())
    said = []
    for n, name in enumerate(NAMES):
        start = len(f"{name} lit a lamp in ")
        said += [
            Feedback(f"When did {name} light {what}?", name, "wrong", str(1800 + n), f"/{name}", start, start + 4)
            for what in ("it", "a lamp")
        ]
    found.feedback.add_many(said)
    return found


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    made = tuple(
        GeneralQuestion("Where is it?", "Q", ("The tea is in Japan.", "He was here."), ("in Japan",), 11, part)
        for part in (0, 1, 2)
    )
    monkeypatch.setattr(examples, "general_questions", lambda: made)
    monkeypatch.setattr(reader_adapter, "LEAST", 4)
    monkeypatch.setattr(reader_adapter, "LEAST_HELD_OUT", 2)


def judged(monkeypatch: pytest.MonkeyPatch, better: float) -> None:
    """Answers are better or worse with an adapter."""
    monkeypatch.setattr(
        reader_adapter, "_scores", lambda base, some, adapter=None: [0.5 + better * (adapter is not None)] * len(some)
    )


def test_it_answers_with_what_it_learned(rag: RagText, store: RelationalDocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(monkeypatch, 0.25)
    monkeypatch.setattr(reader_adapter, "CHANCE", 1.0)  # few answers judge here
    learned = reader_adapter.learn(rag.rt, rag.library, store, settings=SETTINGS)
    assert learned.taken and str(learned).startswith(f"adapter {learned.name} is used from now on")
    assert learned.trained + learned.held_out == 16 and (learned.before, learned.after) == (0.5, 0.75)
    assert learned.strength == 1.0 and 0 < learned.bytes < 20_000
    kept = store.adapters.get("reader")
    assert kept is not None and kept.name == learned.name and kept.facts["after"] == learned.after
    held = next(one for one in store.feedback.all() if one.held_out)
    told, base = rag(held.question), rag(held.question, base=True)
    assert told.adapters == {rag.rt.config.reader: kept.name} and base.adapters == {} and told.note == ""
    assert (told.confidence, told.text) != (base.confidence, base.text)
    store.adapters.put(replace(kept, base_digest="of before"))
    left_out = rag(held.question)
    assert left_out.confidence == base.confidence and f"adapter {kept.name} was trained for other weights" in left_out.note
    store.adapters.put(replace(kept, base="another/reader"))
    assert (rag(held.question).confidence, rag(held.question).note) == (base.confidence, "")
    store.adapters.remove("reader")


def test_what_is_not_better_is_not_kept(rag: RagText, store: RelationalDocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = replace(SETTINGS, steps=1, rate=1e-9)
    refused = reader_adapter.learn(rag.rt, rag.library, store, settings=idle)  # its answers are those of before
    assert not refused.taken and refused.reason == "it does not answer the held-out feedback better"
    assert "the reader stays as it was: it does not" in str(refused) and store.adapters.get("reader") is None
    judged(monkeypatch, -0.25)
    worse = reader_adapter.learn(rag.rt, rag.library, store, settings=idle)
    assert worse.reason == "at every strength it answers 1 general questions worse" and worse.name == ""


@pytest.mark.parametrize(
    ("now", "knows", "p", "told"),
    [
        ([1.0, 1.0], [1.0], 0.2, "chance does so with p = 0.200 > 0.05"),
        ([1.0, 1.0], [0.9], 0.01, "it answers general questions worse"),
        ([1.0, 0.0], [1.0], 0.01, "does not answer the held-out feedback better"),
        ([1.0, 1.0], [1.0], 0.05, ""),
    ],
)
def test_why_it_is_refused(now: list[float], knows: list[float], p: float, told: str) -> None:
    found = reader_adapter._refused([0.0, 1.0], now, [1.0], knows, p)
    assert told in found and bool(found) == bool(told)


def test_too_little_feedback(tiny_runtime: Runtime, tmp_path: Path) -> None:
    rag = RagText(tiny_runtime, store=str(tmp_path / "few"))
    rag.library.add(documents=[Document("/a", "Tea.", "text", "a")])
    few = kept_in(rag.library, rag.library.writable())
    few.feedback.add_many([Feedback(f"{n}?", "", "right", "") for n in range(3)])
    with pytest.raises(BadRequest, match="to judge by; it takes 4 and 2, give more: mmgen rag feedback"):
        reader_adapter.learn(tiny_runtime, rag.library, few)
    rag.close()
