"""The components of image options, and what they hold."""

import pytest

from apps.images import image_options
from mmgen.errors import BadRequest
from mmgen.image_params import SAMPLERS, SOLVERS

NAMES = [one.name for one in image_options.OPTIONS]


def test_components() -> None:
    found = {one.name: image_options.component(one) for one in image_options.OPTIONS}
    assert {"steps", "guidance", "solver", "width", "height"} <= set(found)
    assert (found["steps"].value, found["steps"].placeholder) == ("", "model default")
    assert found["solver"].choices == [("Model default", ""), *((SAMPLERS[name], name) for name in SOLVERS)]
    assert (found["guidance"].label, found["solver"].label) == ("CFG scale (guidance)", "Sampler (solver)")


def given(**answers: object) -> list[object]:
    """What the components hold: those of `answers`, and empty ones."""
    return [answers.get(name, "") for name in NAMES]


def test_values() -> None:
    found = image_options.values(given(steps="20", guidance="7.5", width=" 64"))
    assert (found["steps"], found["guidance"], found["width"], found["height"]) == (20, 7.5, 64, None)
    assert image_options.values(given(solver="ddim"))["solver"] == "ddim"
    with pytest.raises(BadRequest, match="Steps is 'many'; it is a number, or empty"):
        image_options.values(given(steps="many"))


def test_what_is_shown_is_held_again() -> None:
    held = {"steps": 8, "guidance": 1.5, "solver": "lcm", "height": 32}
    shown = [image_options.shown(one, held.get(one.name)) for one in image_options.OPTIONS]
    found = image_options.values(shown)
    assert {name: found[name] for name in held} == held
    assert found["width"] is None
