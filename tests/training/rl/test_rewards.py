"""What each kind of reward gives, and what is told of rewards that are none."""

from collections.abc import Sequence

import pytest

from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, PluginError
from mmgen.runtime import Runtime
from mmgen.training.rl.rewards import RewardConfig, RewardedAnswer, Rewards


def answers(*texts: str, **row: object) -> list[RewardedAnswer]:
    return [RewardedAnswer([{"role": "user", "content": "?"}], text, row) for text in texts]


def words(answers: object) -> list[str]:
    return ["good", "good"]


def nothing(answers: object) -> None:
    return None


def nans(some: Sequence[RewardedAnswer]) -> list[float]:
    return [float("nan") for _ in some]


def rewards(*entries: dict[str, object]) -> Rewards:
    with Runtime(RuntimeConfig()) as rt:
        return Rewards([RewardConfig.model_validate(entry) for entry in entries], rt)


@pytest.mark.parametrize(
    ("entry", "row", "expected"),
    [
        ({"kind": "regex", "pattern": r"\w+ is \d+\."}, {}, {"It is 4.": 1, " It is 4.\n": 1, "It is 4. Or 5.": 0}),
        ({"kind": "number"}, {"answer": "1234"}, {"12 + 1222 makes 1,234.": 1, "1234.0": 1, "1234, or 5": 0, "none": 0}),
        ({"kind": "json", "schema": {"required": ["a"]}}, {}, {'{"a": 1}': 1, "{}": 0.5, "{a}": 0}),
        (
            {"kind": "fields"},
            {"answer": {"name": "Ann", "age": 3}},
            {
                '{"name": "Ann", "age": 3}': 1,
                '{"name": "Ann", "age": "3"}': 0.6,
                '{"name": "Ann"}': 0.6,
                "{}": 0.2,
                "[]": 0,
                "-": 0,
            },
        ),
        ({"kind": "f1"}, {"answers": ["the red mill", "a mill"]}, {"Mill.": 1, "red": 2 / 3, "barn": 0}),
        ({"kind": "length", "characters": 4}, {}, {"four": 0, "sixsix": -0.5, "far too long": -1}),
        (
            {"kind": "grounded"},
            {"passages": ["The mill was built in 1834 by Ann Lee."]},
            {"Ann Lee built the mill in 1834.": 1, "Ann Lee built the mill in 1835.": 0, "It was built. Tom Ray sold it.": 0.5},
        ),
    ],
    ids=lambda one: one.get("kind") if isinstance(one, dict) else None,
)
def test_kinds(entry: dict[str, object], row: dict[str, object], expected: dict[str, float]) -> None:
    totals, _ = rewards(entry)(answers(*expected, **row))
    assert dict(zip(expected, totals, strict=True)) == pytest.approx(expected)


def test_several_are_weighed() -> None:
    totals, parts = rewards({"kind": "number"}, {"kind": "length", "characters": 1, "weight": 0.5})(answers("12", answer=12))
    assert totals == [0.5] and parts == {"number": [1.0], "length": [-1.0]}


def test_mistakes() -> None:
    with pytest.raises(BadRequest, match="the reward nans gave nan; it should give a finite number for every answer"):
        rewards({"kind": "python", "target": f"{__name__}:nans"})(answers("a"))
    for target, told in (("words", r"\['good', 'good'\]"), ("nothing", "None")):
        with pytest.raises(BadRequest, match=f"the reward {target} gave {told}; it should give a finite number"):
            rewards({"kind": "python", "target": f"{__name__}:{target}"})(answers("a", "b"))
    with pytest.raises(BadRequest, match="needs rewards; name one"):
        rewards()
    with pytest.raises(BadRequest, match=r"pattern '\(' is no regular expression"):
        rewards({"kind": "regex", "pattern": "("})
    with pytest.raises(BadRequest, match="a row has no 'answer'"):
        rewards({"kind": "number"})(answers("1"))
    with pytest.raises(BadRequest, match="a row's answers is None; the reward f1 compares with a list of texts"):
        rewards({"kind": "f1"})(answers("1"))
    with pytest.raises(BadRequest, match="a row has no passages"):
        rewards({"kind": "grounded"})(answers("1"))
    with pytest.raises(PluginError, match=r"a reward cannot be imported from no\.where:one"):
        rewards({"kind": "python", "target": "no.where:one"})
