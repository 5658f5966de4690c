"""The components of image options, and what they hold."""

from apps import image_options
from mmgen.image_params import SOLVERS


def test_components() -> None:
    found = {one.name: image_options.component(one) for one in image_options.OPTIONS}
    assert [type(one).__name__ for one in found.values()] == ["Textbox", "Slider", "Slider", "Dropdown", "Textbox", "Textbox"]
    assert (found["steps"].value, found["steps"].maximum, found["guidance"].value) == (20, 100, 5.0)
    assert found["solver"].choices == [("Model default", ""), *((name, name) for name in SOLVERS)]
    labels = ["Negative prompt", "Steps", "CFG scale (guidance)", "Sampler (solver)", "X axis of a plot", "Y axis of a plot"]
    assert [one.label for one in found.values()] == labels


def test_values() -> None:
    assert image_options.values(["", 20.0, 7.5, "", "", ""]) == {
        "negative": "", "steps": 20, "guidance": 7.5, "solver": None, "x": None, "y": None,
    }  # fmt: skip
    assert image_options.values(["red", 3, 1, "ddim", "", ""])["solver"] == "ddim"
