"""Prompts made from a seed: the same every time, and nothing of the tested ones in the others."""

import gzip
import json
from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.training.rl import tasks
from mmgen.training.rl.tasks import Row, TaskConfig


def test_sums_share_no_pair() -> None:
    made = tasks.rows(TaskConfig(kind="sums", train=300, held_out=20, tested=30), 1, None)
    assert (len(made.train), len(made.held_out), len(made.tested)) == (300, 20, 30)

    def pairs(rows: list[Row]) -> set[tuple[int, ...]]:
        found = [tuple(sorted(map(int, row["prompt"].removeprefix("What is ").removesuffix("?").split(" + ")))) for row in rows]
        assert [sum(pair) for pair in found] == [row["answer"] for row in rows]
        return set(found)

    train, tested = pairs(made.train), pairs(made.tested)
    assert len(train) == 300 and not train & tested and not train & pairs(made.held_out)
    assert made == tasks.rows(TaskConfig(kind="sums", train=300, held_out=20, tested=30), 1, None)
    with pytest.raises(BadRequest, match="there are 4095 pairs of numbers with two digits, not 5030"):
        tasks.rows(TaskConfig(kind="sums", train=5000, held_out=0, tested=30), 1, None)


def test_records_share_no_words() -> None:
    made = tasks.rows(TaskConfig(kind="records", train=200, held_out=5, tested=50), 0, None)

    def words(rows: list[Row]) -> set[str]:
        return {value for row in rows for value in row["answer"].values() if isinstance(value, str)}

    assert not words(made.tested) & (words(made.train) | words(made.held_out))
    row = made.train[0]
    assert len(row["answer"]) == 3 and all(str(value) in row["prompt"] for value in row["answer"].values())


def test_passages_share_none(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="give --data the folder that holds qamr/"):
        tasks.rows(TaskConfig(kind="passages"), 0, None)
    (tmp_path / "qamr").mkdir()
    for name, numbers in (("dev", range(6)), ("test", range(4, 12))):
        same = {"title": "", "answers": ["Ann"], "answer_starts": [0]}
        rows = [{**same, "id": f"{n}{q}", "question": f"Who {q}?", "context": f"Ann saw {n}."} for n in numbers for q in "ab"]
        with gzip.open(tmp_path / "qamr" / f"{name}.jsonl.gz", "wt") as file:
            file.write("\n".join(map(json.dumps, rows)))
    made = tasks.rows(TaskConfig(kind="passages", train=9, held_out=2, tested=6), 0, tmp_path)
    parts = [{row["passages"][0] for row in rows} for rows in (made.train, made.held_out, made.tested)]
    assert [len(part) for part in parts] == [4, 2, 6] and not parts[0] & parts[1] and not parts[2] & (parts[0] | parts[1])
    assert len(made.train) == 9 and made.train[0]["answers"] == ["Ann"] and "Question: Who" in made.train[0]["prompt"]
    with pytest.raises(BadRequest, match="has 6 and 6 passages, which are too few"):
        tasks.rows(TaskConfig(kind="passages", train=9, held_out=2, tested=7), 0, tmp_path)
