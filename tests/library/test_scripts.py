"""Documents and questions of every script, through the library and the pipeline with the embedded models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmgen.config import RuntimeConfig
from mmgen.pipelines.rag.answer import NOT_READ
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime

TEXTS = {
    "zh-budget": "图书馆翻新工程的总预算为三百二十万元，由市政府承担。工程计划在明年四月完成。",
    "zh-canteen": "食堂从下周起延长晚餐时间，素食窗口设在二楼东侧。",
    "ja-onsen": "露天風呂は午前六時から利用できます。夕食の予約は前日の正午までにお願いします。",
    "th-clinic": "คลินิกเปิดให้บริการทุกวันจันทร์ถึงวันศุกร์ ค่าธรรมเนียมการฉีดวัคซีนสามร้อยบาท",
    "hi-library": "पुस्तकालय सोमवार को बंद रहता है। सदस्यता शुल्क दो सौ रुपये है।",
    "ar-library": "المكتبة مغلقة يوم الاثنين. رسم العضوية مئتا دينار.",
    "fr": "La taxe de séjour s'élève à deux euros par nuit. L'impo\u0302t foncier est dû en octobre.",
    "en": "The reading room is closed on Mondays. Lockers take a two euro coin.",
}


@pytest.fixture(scope="module")
def rag(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagText]:
    folder = tmp_path_factory.mktemp("scripts")
    for name, text in TEXTS.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    with Runtime(RuntimeConfig(home=folder / "home", device="cpu")) as rt:  # the process's own may be another test's
        made = RagText(rt, store=str(folder / "store"))
        made.add([folder])
        yield made


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("预算", "zh-budget"),
        ("素食", "zh-canteen"),
        ("露天風呂", "ja-onsen"),
        ("ค่าธรรมเนียม", "th-clinic"),
        ("सदस्यता", "hi-library"),
        ("العُضْوِيَّة", "ar-library"),
        ("impôt", "fr"),
        ("impots", "fr"),
    ],
)
def test_the_only_document_with_a_word_comes_first(rag: RagText, query: str, name: str) -> None:
    for method in ("bm25", "hybrid"):
        assert Path(rag.library.search(query, method=method)[0].uri).stem == name
    assert len(rag.library.search(query, method="bm25")) == 1


def test_a_question_that_the_encoder_cannot_read_is_said_to_be_so(rag: RagText) -> None:
    answer = rag("图书馆翻新工程的总预算是多少？")
    assert answer.abstained and answer.text == NOT_READ and "does not know the script of this question" in answer.note
    assert Path(answer.passages[0].uri).stem == "zh-budget" and "note: embedded:minilm" in str(answer)
    assert rag("When is the reading room closed?").note == ""
