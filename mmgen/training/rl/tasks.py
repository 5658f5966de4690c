"""Prompts that a recipe makes by itself from a seed: sums, records to be written as JSON, and questions about passages."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mmgen.config import Config
from mmgen.errors import BadRequest
from mmgen.training.data.qa_data import read_questions

Row = dict[str, Any]
WORDS = {
    "name": (
        "Ann Bob Clara David Elena Frank Grace Hugo Irene Jonas Karin Liam Mara Nils Olga Paul Quentin Rosa Simon Tara Uwe "
        "Vera Walter Xenia Yusuf Zoe Amara Boris Chen Dina Emil Farah Goran Hana Ivan Jana Kofi Lena Marco Nadia Omar Petra"
    ),
    "city": (
        "Paris Rome Oslo Lima Cairo Delhi Tokyo Berlin Madrid Vienna Dublin Athens Lisbon Prague Nairobi Quito Seoul Hanoi "
        "Riga Bern Accra Havana Warsaw Tunis Dakar Sofia Minsk Porto Lyon Turin Graz Ghent Malmo Leeds Bergen Krakow"
    ),
    "job": (
        "baker nurse teacher pilot farmer tailor painter lawyer plumber dentist miner sailor gardener butcher librarian cook "
        "carpenter clerk driver singer architect barber chemist jeweller"
    ),
}
"""Of records."""


class TaskConfig(Config):
    """The `task` section of a recipe, in place of prompts in `data`."""

    kind: Literal["sums", "records", "passages"]
    train: int = Field(default=1000, ge=1)  # prompts
    held_out: int = Field(default=40, ge=0)  # by which weights are chosen
    tested: int = Field(default=100, ge=0)  # that choose nothing: measured before and after
    sources: tuple[str, str] = ("qamr/dev", "qamr/test")  # passages: to train on, and for the tested ones; see qa_data.py


@dataclass(frozen=True)
class TaskRows:
    """Rows of a task. What makes up a tested one stands in no other: pairs of numbers, names, places and work, passages."""

    train: list[Row]
    held_out: list[Row]
    tested: list[Row]


def rows(task: TaskConfig, seed: int, data: Path | None) -> TaskRows:
    """Always the same for a seed. `data`: the folder of question answering data, where passages are asked for."""
    if task.kind == "sums":
        return _sums(task, random.Random(f"sums/{seed}"))
    if task.kind == "records":
        return _records(task, random.Random(f"records/{seed}"))
    if data is None:
        raise BadRequest("the task passages needs question answering data; give --data the folder that holds qamr/")
    return _passages(task, random.Random(f"passages/{seed}"), data)


def _sums(task: TaskConfig, chance: random.Random) -> TaskRows:
    """Of two numbers with two digits each; a pair occurs once, in one order."""
    pairs = list(combinations_with_replacement(range(10, 100), 2))
    chance.shuffle(pairs)
    made = [{"prompt": f"What is {a} + {b}?", "answer": a + b} for a, b in (chance.sample(pair, 2) for pair in pairs)]
    wanted = task.train + task.held_out + task.tested
    if wanted > len(made):
        raise BadRequest(f"there are {len(made)} pairs of numbers with two digits, not {wanted}; ask for fewer prompts")
    tested, held_out = made[: task.tested], made[task.tested : task.tested + task.held_out]
    return TaskRows(made[task.tested + task.held_out : wanted], held_out, tested)


def _records(task: TaskConfig, chance: random.Random) -> TaskRows:
    """A person to be written as a JSON object with the keys that are named; a third of all words is for the tested ones."""
    known, apart = {}, {}
    for key, told in WORDS.items():
        words = told.split()
        mixed = chance.sample(words, len(words))
        apart[key], known[key] = mixed[: len(words) // 3], mixed[len(words) // 3 :]
    return TaskRows(
        [_record(known, chance) for _ in range(task.train)],
        [_record(known, chance) for _ in range(task.held_out)],
        [_record(apart, chance) for _ in range(task.tested)],
    )


def _record(words: Mapping[str, list[str]], chance: random.Random) -> Row:
    whole: dict[str, Any] = {key: chance.choice(some) for key, some in words.items()}
    whole["age"] = chance.randint(18, 80)
    keys = chance.sample(sorted(whole), 3)
    told = f"{whole['name']} is {whole['age']} years old, lives in {whole['city']} and works as a {whole['job']}."
    asked = ", ".join(f'"{key}"' for key in keys[:-1]) + f' and "{keys[-1]}"'
    return {
        "prompt": f"{told} Reply with a JSON object that has the keys {asked} and no others.",
        "answer": {key: whole[key] for key in keys},
    }


def _passages(task: TaskConfig, chance: random.Random, data: Path) -> TaskRows:
    """One question a passage, whose answer stands in it; held-out and tested passages are nowhere else."""
    first, second = (_asked(data, source, chance) for source in task.sources)
    alone = [row for row in second if row[0] not in {passage for passage, _ in first}]
    tested = [one(chance) for _, one in alone[: task.tested]]
    held_out = [one(chance) for _, one in first[: task.held_out]]
    rest = first[task.held_out :]
    if not rest or len(tested) < task.tested:
        raise BadRequest(f"{data} has {len(first)} and {len(alone)} passages, which are too few; ask for fewer prompts")
    return TaskRows([rest[number % len(rest)][1](chance) for number in range(task.train)], held_out, tested)


def _asked(data: Path, source: str, chance: random.Random) -> list[tuple[str, Callable[[random.Random], Row]]]:
    """Each passage, and what asks one of its questions."""
    questions: dict[str, list[tuple[str, list[str]]]] = {}
    for one in read_questions(data, source):
        if one.answers:
            questions.setdefault(one.context, []).append((one.text, one.answers))
    order = sorted(questions)
    chance.shuffle(order)

    def asking(passage: str) -> Callable[[random.Random], Row]:
        def row(chance: random.Random) -> Row:
            question, answers = chance.choice(questions[passage])
            prompt = f"{passage}\n\nQuestion: {question}\nAnswer from the text alone, in a few words."
            return {"prompt": prompt, "passages": [passage], "answers": answers}

        return row

    return [(passage, asking(passage)) for passage in order]
