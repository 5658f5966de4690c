"""Axes of a plot: what they say, the calls of its cells, and what is no axis."""

import pytest

from mmgen.errors import BadRequest
from mmgen.image_params import ImageParams
from mmgen.pipelines.image.axes import Axis, cells


def test_axes() -> None:
    assert Axis.read("steps=4, 8,20") == Axis("steps", (4, 8, 20))
    assert Axis.read("CFG scale=1,4.5").labels() == ["guidance: 1", "guidance: 4.5"]
    assert Axis.read("--guidance-rescale=0,1").option == "guidance_rescale"
    assert Axis.read("prompt=a cat, sitting|a dog").values == ("a cat, sitting", "a dog")


def test_cells_row_by_row() -> None:
    made = cells([ImageParams(prompt="a cat", x="steps=4,8", y="prompt=cat|dog")])
    assert [(one.prompt, one.steps) for one in made] == [("a cat", 4), ("a cat", 8), ("a dog", 4), ("a dog", 8)]
    assert [one.solver for one in cells([ImageParams(y="sampler=Euler a,ddim")])] == ["euler-a", "ddim"]
    plain = [ImageParams(n=3), ImageParams()]
    assert cells(plain) == plain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": "step=4"}, "'step=4' .did you mean \"steps\".*; write OPTION=VALUE,VALUE with one of prompt"),
        ({"x": "n=1,2"}, "a plot's axis is 'n=1,2'"),
        ({"x": "steps"}, "the plot's axis 'steps' has no values; write some, such as steps=4,8,20"),
        ({"y": "steps=4,few"}, "axis steps has the value 'few'; it should be a whole number"),
        ({"y": "steps=0"}, "steps is 0; it can be 1 to 1000"),
        ({"x": "steps=1,2", "y": "steps=3"}, "both axes of the plot are steps"),
        ({"x": "prompt=dog|cat"}, "prompt holds no 'dog', the first value of the plot's axis"),
        ({"x": "steps=1,2", "n": 2}, "a plot has one image a cell"),
        ({"x": f"steps={'1,' * 40}", "y": f"seed={'1,' * 40}"}, "the plot has 1600 cells; draw 1000 images at most"),
    ],
)
def test_what_is_no_plot(given: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        cells([ImageParams(prompt="a cat", **given)])  # type: ignore[arg-type]


def test_an_option_that_the_call_does_not_take() -> None:
    with pytest.raises(BadRequest, match="axis is strength, which this call does not take"):
        cells([ImageParams(x="strength=0.1,0.5")], taken=("prompt", "steps"))
