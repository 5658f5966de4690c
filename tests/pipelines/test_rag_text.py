"""Questions to tiny documents with a tiny random reader: what is asserted holds whatever it answers."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mmgen
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled, DeadlineExceeded, NotFound, UnreadableFile
from mmgen.interfaces import Hit, Passage
from mmgen.models.reader.calibration import Candidate, SpanAnswer
from mmgen.pipelines.rag.answer import NOT_THERE, Answer, cite
from mmgen.pipelines.rag_text import RagText
from mmgen.registry import Registry
from mmgen.runtime import Runtime

SAMPLE = Path(__file__).parents[2] / "assets" / "sample"
QUESTIONS = ["Who built the Pharos?", "When was Boston Light lit?", "How do bees tell where flowers are?", "Where is tea from?"]


@pytest.fixture(scope="module")
def rag(tiny_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagText]:
    rag = mmgen.pipeline("rag-text", runtime=tiny_runtime, store=str(tmp_path_factory.mktemp("rag") / "store"))
    rag.add(SAMPLE)
    yield rag
    rag.close()


def essence(answer: Answer) -> tuple[object, ...]:
    return answer.text, answer.abstained, answer.citations, [hit.passage_id for hit in answer.passages]


def check_citations(rag: RagText, answer: Answer) -> None:
    for citation in answer.citations:
        document = rag.library.readable().document(citation.document_id)
        assert document.text[citation.start : citation.end] == citation.quote != ""
        assert document.uri == citation.document
        assert citation.passage_id in [hit.passage_id for hit in answer.passages]


def test_an_answer_has_everything_that_was_promised(rag: RagText) -> None:
    answer = rag(QUESTIONS[0], k=3, threshold=0.0)
    assert answer.question == QUESTIONS[0] and len(answer.passages) == 3 and len(answer.request_id) == 12
    assert not answer.abstained and answer.text == answer.citations[0].quote
    assert 0.0 <= answer.confidence <= 1.0
    assert list(answer.timings) == ["load", "retrieve", "read", "answer", "total"]
    assert answer.timings["total"] == pytest.approx(sum(list(answer.timings.values())[:-1]), abs=0.1)
    assert list(answer.precisions) == [rag.library.readable().encoder, rag.rt.config.reader], "the models that took part"
    check_citations(rag, answer)


def test_a_follow_up_is_searched_and_read_in_full(rag: RagText) -> None:
    first = rag("What is the Pharos of Alexandria?", k=3, threshold=0.0)
    whole = rag("Who built the Pharos of Alexandria?", k=3, threshold=0.0)
    events = list(rag.stream("Who built it?", k=3, threshold=0.0, history=[first]))
    assert (events[0].kind, events[0].value) == ("rewritten", "Who built the Pharos of Alexandria?")
    answer = events[-1].value
    assert (answer.question, answer.standalone, answer.rewritten) == ("Who built it?", events[0].value, events[0].value)
    assert essence(answer) == essence(whole) and "rewrite" in answer.timings
    messages = [{"role": "user", "content": first.question}, {"role": "assistant", "content": first.text}]
    assert essence(rag("Who built it?", k=3, threshold=0.0, history=messages)) == essence(whole)
    assert rag(QUESTIONS[1], k=3, history=[first]).rewritten == ""


@pytest.mark.parametrize(("whole", "leaning", "kept"), [(0.5, 0.4, True), (0.5, 0.48, False), (0.3, 0.6, False)])
def test_a_question_that_finds_more_by_itself_stood_alone(
    rag: RagText, monkeypatch: pytest.MonkeyPatch, whole: float, leaning: float, kept: bool
) -> None:
    """The conversation would add its topic, which the documents do not join with what is asked."""
    first, search = rag("What is the Pharos of Alexandria?", k=3, threshold=0.0), rag.library.search

    def scored(query: str, **options: Any) -> list[Any]:
        if options.get("method") != "dense":
            return search(query, **options)
        return [SimpleNamespace(scores={"dense": leaning if "Pharos" in query else whole})]

    monkeypatch.setattr(rag.library, "search", scored)
    answer = rag("How long should the dough rest?", k=3, threshold=0.0, history=[first])
    assert answer.rewritten == ("" if kept else "How long should the dough of the Pharos of Alexandria rest?")


def test_an_answer_is_json(rag: RagText) -> None:
    answer = rag(QUESTIONS[0], threshold=0.0)
    back = json.loads(json.dumps(answer.to_dict()))
    assert back["citations"][0]["quote"] == answer.text
    assert back["passages"][0]["passage"]["text"] == answer.passages[0].passage.text
    assert f'[1] "{answer.citations[0].quote}"' in str(answer)


def test_below_the_threshold_it_abstains(rag: RagText) -> None:
    answer = rag(QUESTIONS[0], threshold=1.0)
    assert (answer.text, answer.abstained, answer.citations) == (NOT_THERE, True, [])
    assert answer.passages, "what it looked at stays visible"
    sure = rag(QUESTIONS[0], threshold=0.0)
    assert rag(QUESTIONS[0], threshold=sure.confidence).abstained is False
    reader = rag.rt.reader()
    assert rag(QUESTIONS[0]).abstained is (sure.confidence < reader.model.calibration.threshold)


def test_cite_answers_with_whole_sentences(rag: RagText) -> None:
    strict, cited = (rag(QUESTIONS[0], threshold=0.0, grounding=g) for g in ("strict", "cite"))
    assert strict.text in cited.text == cited.citations[0].quote
    check_citations(rag, cited)
    passage = next(hit.passage for hit in cited.passages if hit.passage_id == cited.citations[0].passage_id)
    end = cited.citations[0].end - passage.start
    assert cited.text[-1] in ".!?" or end == len(passage.text) or passage.text[end] == "\n"


def test_off_writes_freely_and_streams(rag: RagText) -> None:
    events = list(rag.stream(QUESTIONS[0], grounding="off", threshold=1.0))
    kinds = [event.kind for event in events]
    assert kinds[:2] == ["passages", "candidates"] and set(kinds[2:-1]) == {"text"} and kinds[-1] == "answer"
    answer = events[-1].value
    assert answer.text == events[-2].value and answer.citations == [] and not answer.abstained


def test_events_come_as_the_answer_is_made(rag: RagText) -> None:
    events = rag.stream(QUESTIONS[1], threshold=0.0)
    first = next(events)
    assert first.kind == "passages" and all(isinstance(hit, Hit) for hit in first.value)
    second, last = list(events)
    assert second.kind == "candidates" and last.kind == "answer"
    assert last.value.text == second.value[0].text
    assert essence(last.value) == essence(rag(QUESTIONS[1], threshold=0.0))


def test_filters_and_a_filter_that_fits_nothing(rag: RagText) -> None:
    answer = rag(QUESTIONS[0], where=["kind=csv"], threshold=0.0)
    assert {Path(hit.uri).name for hit in answer.passages} == {"planets.csv"}
    assert essence(rag(QUESTIONS[0], where={"kind": "csv"}, threshold=0.0)) == essence(answer)
    nothing = rag(QUESTIONS[0], where=["kind=papyrus"], threshold=0.0)
    assert nothing.abstained and nothing.passages == [] and nothing.confidence == 0.0
    assert rag(QUESTIONS[0], where=["kind=papyrus"], grounding="off").abstained


@pytest.mark.parametrize(
    ("question", "options", "message"),
    [
        ("", {}, "question is empty"),
        (" \n", {}, "question is empty"),
        (None, {}, "question is empty"),
        ("who?", {"k": 0}, "k is 0; it can be 1 to 100 passages"),
        ("who?", {"k": 101}, "k is 101"),
        ("who?", {"k": "5"}, "k is '5'"),
        ("who?", {"grounding": "loose"}, "grounding is 'loose'; it can be strict, cite, off"),
        ("who?", {"threshold": float("nan")}, "threshold is nan; it can be 0 to 1"),
        ("who?", {"threshold": 1.5}, "threshold is 1.5"),
        ("who?", {"where": ["=x"]}, "filter '=x' cannot be understood"),
    ],
)
def test_bad_questions(rag: RagText, question: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        rag(question, **options)  # type: ignore[arg-type]


def test_a_long_question_is_read_in_parts(rag: RagText) -> None:
    answer = rag("We came late and it rained. " * 20 + QUESTIONS[0], threshold=0.0)
    assert not answer.abstained and answer.citations
    assert not rag("why " * 80, threshold=0.0).abstained


def test_no_store_and_an_empty_one_are_told_before_a_model_loads(tmp_path: Path) -> None:
    config = RuntimeConfig(home=tmp_path, encoder="no/such", reader="no/such")
    with Runtime(config) as rt, pytest.raises(NotFound, match=r"there is no store at .*; make one with: mmgen rag add"):
        RagText(rt)("who?")


async def test_the_async_twin_gives_the_same(rag: RagText) -> None:
    expected = [essence(rag(question, threshold=0.0)) for question in QUESTIONS]
    answers = await asyncio.gather(*(rag.acall(question, threshold=0.0) for question in QUESTIONS))
    assert [essence(answer) for answer in answers] == expected
    events = [event async for event in rag.astream(QUESTIONS[0], threshold=0.0)]
    assert [event.kind for event in events] == ["passages", "candidates", "answer"]
    assert essence(events[-1].value) == expected[0]


async def test_the_async_twin_raises_the_same(rag: RagText) -> None:
    with pytest.raises(BadRequest, match="question is empty"):
        await rag.acall("")
    with pytest.raises(BadRequest, match="question is empty"):
        [event async for event in rag.astream("")]


async def test_leaving_an_async_stream_cancels(rag: RagText) -> None:
    request = Request.new()
    stream = rag.astream(QUESTIONS[0], request=request)
    assert (await anext(stream)).kind == "passages"
    await stream.aclose()
    assert request.cancelled


async def test_cancelling_a_task_cancels_its_request(rag: RagText) -> None:
    request = Request.new()
    task = asyncio.create_task(rag.acall(QUESTIONS[0], request=request))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert request.cancelled


def test_a_cancelled_and_a_late_request(rag: RagText) -> None:
    request = Request.new()
    request.cancel()
    with pytest.raises(Cancelled, match=request.id):
        rag(QUESTIONS[0], request=request)
    with pytest.raises(DeadlineExceeded):
        rag(QUESTIONS[0], request=Request.new(timeout_s=1e-6))


def test_threads_get_the_same_answers_as_alone(rag: RagText) -> None:
    expected = {question: essence(rag(question, threshold=0.0)) for question in QUESTIONS}
    got: list[tuple[str, tuple[object, ...]]] = []

    def work(shift: int) -> None:
        for turn in range(4):
            question = QUESTIONS[(turn + shift) % 4]
            got.append((question, essence(rag(question, threshold=0.0))))

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 16
    assert all(found == expected[question] for question, found in got)


def test_questions_while_documents_change(rag: RagText, tmp_path: Path) -> None:
    own = RagText(rag.rt, store=str(tmp_path / "store"))
    own.add_text("The lamp was lit in 1823 by Fresnel.", "lamp.txt")
    stop, faults = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            try:
                answer = own("When was the lamp lit?", threshold=0.0)
                for citation in answer.citations:
                    hit = next(hit for hit in answer.passages if hit.passage_id == citation.passage_id)
                    assert citation.quote == hit.passage.text[citation.start - hit.passage.start :][: len(citation.quote)]
            except BaseException as fault:
                faults.append(fault)
                return

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(25):
        own.add_text(f"{'Once more. ' * number}The lamp was lit in {1800 + number} by Fresnel.", "lamp.txt")
    stop.set()
    for thread in threads:
        thread.join()
    own.close()
    assert faults == []


def test_text_that_is_no_file(rag: RagText, tmp_path: Path) -> None:
    own = RagText(rag.rt, store=str(tmp_path / "store"))
    assert own.add_text("# Lamps\n\nThe lamp was lit in 1823.", "note.md", metadata={"lang": "en"}).added == ["note.md"]
    (hit,) = own.library.search("lamp", where=["lang=en"])
    assert hit.passage.heading == "Lamps" and hit.uri == "note.md"
    with pytest.raises(UnreadableFile, match=r"note\.md is empty"):
        own.add_text(" ", "note.md")
    assert own.library.readable().uris() == ["note.md"]
    own.close()


WORDS = st.sampled_from(
    ["lamp", "Tea", "1823", "Fresnel's", "naïve", "你好", "🙂👩‍👩‍👧", "e\u0301te\u0301", "x" * 70, "(see", "note)", "U.S.",
     "3.14", "ΑΒΓ", "\u200b", "ﬁne", "İstanbul", "--", "$5", "\u00ad", "a\u0300\u0301b"]
)  # fmt: skip
GAPS = st.sampled_from([" ", " ", ". ", "\n", "\n\n", "! ", "\n\n# Head\n\n", "\n- ", "\t", "\u00a0", "\n\n```\ncode\n```\n\n"])
TEXT = st.lists(st.tuples(WORDS, GAPS), min_size=1, max_size=60).map(lambda pairs: "".join(w + g for w, g in pairs))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(TEXT, min_size=1, max_size=3),
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from(["txt", "md", "py", "html"]),
    st.sampled_from(["strict", "cite"]),
)
def test_every_citation_is_the_documents_own_text(
    tiny_runtime: Runtime,
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    words: list[str],
    suffix: str,
    grounding: str,
) -> None:
    own = RagText(tiny_runtime, store=str(tmp_path_factory.mktemp("property") / "store"))
    try:
        for number, text in enumerate(texts):
            own.add_text(text, f"{number}.{suffix}")
        question = " ".join(words)[:60] + "?"  # the tiny reader takes 64 tokens
        answer = own(question, grounding=grounding, threshold=0.0)  # type: ignore[arg-type]
        check_citations(own, answer)
        assert answer.abstained or (answer.citations and answer.text == answer.citations[0].quote)
    except UnreadableFile:
        pass  # markup without any text
    finally:
        own.close()


def hit(number: int, document: int, start: int, text: str) -> Hit:
    return Hit(number, document, f"/d{document}", Passage(text, start, start + len(text)), 1.0)


def test_overlapping_passages_cite_a_place_once() -> None:
    hits = [hit(1, 1, 0, "Lit in 1823. By him."), hit(2, 1, 13, "By him. In 1823 too."), hit(3, 2, 0, "In 1823.")]
    places = ((0, SpanAnswer(13, 19, -1.0, -9.0)), (1, SpanAnswer(0, 6, -1.1, -9.0)), (2, SpanAnswer(3, 7, -2.0, -9.0)))
    cited = cite(Candidate("By him", -1.0, places), hits, whole_sentences=False)
    assert [(c.document_id, c.start, c.end, c.quote) for c in cited] == [(1, 13, 19, "By him"), (2, 3, 7, "1823")]


class Backwards:
    """A plugin's reranker."""

    def __init__(self, store: object) -> None:
        self.store = store

    def rerank(self, query: str, hits: list[Hit], k: int) -> list[Hit]:
        return hits[::-1][:k]


def test_a_plugins_reranker_orders_the_passages(rag: RagText, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Registry("odd")
    plugin.rerankers.add("backwards", f"{__name__}:Backwards")
    monkeypatch.setattr(rag.rt.registry, "rerankers", plugin.rerankers)
    plain = rag.library.search(QUESTIONS[0], k=12)  # as many as are read before the best three are taken
    answer = rag(QUESTIONS[0], k=3, rerank="backwards")
    assert [hit.passage_id for hit in answer.passages] == [hit.passage_id for hit in plain[::-1][:3]]
    with pytest.raises(NotFound, match='no reranker "mmr"'):
        rag(QUESTIONS[0], rerank="mmr")
