from pathlib import Path

import pytest

from mmgen.errors import BadRequest, NotFound
from mmgen.evaluation import rag_questions
from mmgen.evaluation.rag_questions import RagQuestion


def written(folder: Path, *lines: str) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_forms(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"question": "Who?", "answers": ["Ann", "Anna"], "documents": "notes/a.md"}',
        "",
        '{"id": "x", "question": "When?", "answers": {"text": ["1823"], "answer_start": [3]}}',
        '{"question": "Why?", "is_impossible": true, "plausible_answers": ["as"]}',
        '{"question": "Where?", "answers": []}',
    )
    assert rag_questions.read(path) == [
        RagQuestion("1", "Who?", ("Ann", "Anna"), ("notes/a.md",), ()),
        RagQuestion("x", "When?", ("1823",), (), ()),
        RagQuestion("4", "Why?", (), (), ()),
        RagQuestion("5", "Where?", (), (), ()),
    ]
    assert [one.answerable for one in rag_questions.read(path)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"questions.jsonl:1 is no JSON"),
        ('["a"]', "has no question; write lines such as"),
        ('{"question": " "}', "has no question"),
        ('{"question": "Who?"}', r'has no answers; write "answers": \[\] for a question that the documents do not answer'),
        ('{"question": "Who?", "answers": [1]}', "answers is no list of texts"),
        ("", "holds no question"),
        ('{"id": 1, "question": "a", "answers": []}\n{"id": 1, "question": "b", "answers": []}', "two questions of the id '1'"),
    ],
)
def test_mistakes_name_their_line(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(BadRequest, match=told):
        rag_questions.read(written(tmp_path, line))
    with pytest.raises(NotFound, match="does not exist; give a file of lines such as"):
        rag_questions.read(tmp_path / "none.jsonl")


def test_what_is_relevant() -> None:
    by_answer = RagQuestion("", "q", ("the Cat",), (), ())
    assert by_answer.relevant("a", "A cat!") and not by_answer.relevant("a", "concatenated")
    by_document = RagQuestion("", "q", ("cat",), ("b/notes.md",), ())
    assert by_document.relevant("/a/b/notes.md", "dog") and not by_document.relevant("/a/notes.md", "cat")
    by_passage = RagQuestion("", "q", (), (), ("The cat sat.",))
    assert by_passage.relevant("", "Well. The cat sat. So.") and by_passage.relevant("", "cat sat")
    assert not by_passage.relevant("", "A dog.")
