"""Constitutional AI from start to end on a tiny model, and the judge that likes no place."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_lm

from mmgen.config import load
from mmgen.errors import ConfigError, UnreadableFile
from mmgen.models.lm.text_model import TextModel
from mmgen.training.data import chat_data, constitution
from mmgen.training.data.constitution import Constitution, Principle
from mmgen.training.recipes import constitution as recipe_module
from mmgen.training.recipes.constitution import ConstitutionRecipe, ConstitutionRun

CONFIGS = Path(__file__).parents[3] / "configs"
PRINCIPLE = {"name": "short", "critique": "{answer}?", "revision": "{critique} {answer}", "judge": "Which?", "check": "[a-z]"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a template in its folder: models of every stage are asked in its words."""
    folder = tiny_lm.make(tmp_path_factory.mktemp("lm"))
    (folder / "chat_template.jinja").write_text(chat_data.with_template(TextModel.load(folder)).template.text)
    return folder


def recipe(base: Path, data: Path, **more: Any) -> ConstitutionRecipe:
    """Its principles lie beside the data."""
    rules = data.with_name("principles.yaml")
    return ConstitutionRecipe(base=str(base), constitution=rules, data=data, out=data.with_name("out"), max_tokens=4, **more)


def test_stages(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes its file, and is not done again."""
    monkeypatch.setenv("MMGEN_HOME", str(tmp_path / "home"))
    (tmp_path / "principles.yaml").write_text(json.dumps({"principles": [PRINCIPLE]}))
    data = tmp_path / "prompts.jsonl"
    data.write_text(
        "\n".join(json.dumps({"prompt": f"who {verb}"}) for verb in ("runs", "sees", "finds", "follows", "is", "was"))
        + '\n{"prompt": "who has", "check": false}'
    )
    steps = {"steps": 2, "batch": 2, "held_out": 0.0}
    made = recipe(base, data, held_out=0.3, sft=steps, dpo=steps)
    asked: list[int] = []

    def judged(judge: Any, rules: Any, prompts: Any, pairs: Any) -> list[constitution.JudgedPair]:
        asked.append(len(pairs))
        return [constitution.JudgedPair(prompt, pair, 0) for prompt, pair in zip(prompts, pairs, strict=True)]

    monkeypatch.setattr(recipe_module, "judged", judged)  # a tiny model's taste is a matter of chance
    for _ in range(2):
        assert recipe_module.train(made)
    assert asked == [5], "the second time everything is there"
    told = json.loads((made.out / "measured.json").read_text())
    assert set(told) == {"before", "revised", "after"} and set(told["after"]) == {"kept", "elsewhere"}
    assert all(0 <= share <= 1 for shares in told.values() for share in shares.values())
    pairs = [json.loads(line) for line in (made.out / "pairs.jsonl").read_text().splitlines()]
    assert 0 < len(pairs) <= 5 and all(pair["chosen"] != pair["rejected"] for pair in pairs)
    assert TextModel.load(made.out / "model").template


def test_a_judge_that_prefers_a_place_prefers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = SimpleNamespace(encode=lambda letter: SimpleNamespace(ids=letter))
    model = SimpleNamespace(encode_chat=lambda talk: talk[0]["content"], tokenizer=tokenizer)
    rules = Constitution(principles=[Principle.model_validate(PRINCIPLE)])

    def scores(judge: Any, asked: list[tuple[str, str]]) -> list[tuple[float, bool]]:
        """Likes A, unless one of the answers is good."""
        found = []
        for context, letter in asked:
            good = next((one for one in "AB" if f"\n{one}: good" in context), "A")
            found.append((1.0 if letter == good else 0.0, True))
        return found

    monkeypatch.setattr(constitution, "scores", scores)
    pairs = [("good", "bad"), ("bad", "good"), ("bad", "worse")]
    found = constitution.judged(SimpleNamespace(model=model), rules, ["p"] * 3, pairs)  # type: ignore[arg-type]
    assert [one.preferred for one in found] == [0, 1, None]


def test_mistakes(base: Path, tmp_path: Path) -> None:
    (tmp_path / "principles.yaml").write_text(json.dumps({"principles": [PRINCIPLE]}))
    (tmp_path / "prompts.jsonl").write_text('{"prompt": 3}')
    made = recipe(base, tmp_path / "prompts.jsonl")
    with pytest.raises(UnreadableFile, match="row 1: prompt should be a text"):
        ConstitutionRun(made)
    (tmp_path / "principles.yaml").write_text(json.dumps({"principles": [{**PRINCIPLE, "check": "("}]}))
    with pytest.raises(ConfigError, match="check"):
        ConstitutionRun(made)


def test_shipped_files_read() -> None:
    made = load(CONFIGS / "train" / "constitution.yaml", ConstitutionRecipe)
    (principle,) = load(CONFIGS.parent / made.constitution, Constitution).principles
    assert principle.holds("I don't know who it was.") and not principle.holds("It was Ann.")
    assert "why" in principle.revision.format(prompt="p", answer="a", critique="why")
