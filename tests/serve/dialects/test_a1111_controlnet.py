"""What of the ControlNet extension's units is refused, and why."""

from typing import Any

import pytest

from mmgen.errors import BadRequest
from mmgen.serve.dialects import a1111_controlnet


def unit(**more: Any) -> dict[str, Any]:
    return {"controlnet": {"args": [{"image": "AAAA", "model": "lines", **more}]}}


@pytest.mark.parametrize(
    ("scripts", "message"),
    [
        (unit(module="openpose_full"), "module is 'openpose_full'; canny is computed here: send other maps as the image"),
        (unit(control_mode=2), "control_mode is '2'; this server has balanced alone"),
        (unit(resize_mode="Resize and Fill"), "resize_mode is 'Resize and Fill'"),
        (unit(module="canny", threshold_a=64), "canny has thresholds 100 and 200 here"),
        (unit(mask="AAAA"), "has a mask, and this server controls the whole image"),
        (unit(image=None), "control unit 'lines' has no image"),
        (unit(weight="much"), r"a unit of controlnet cannot be read \(weight: "),
        ({"adetailer": {"args": [True]}}, "alwayson_scripts has 'adetailer', and this server draws without it"),
        ({"controlnet": {"args": [{"image": "AAAA", "model": "a"}] * 9}}, "9 control units; 8 may be enabled at once"),
    ],
)
def test_what_is_refused(scripts: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        a1111_controlnet.units(scripts)


def test_what_is_read() -> None:
    assert a1111_controlnet.units(None) == a1111_controlnet.units({"other": {"args": []}, "controlnet": {}}) == []
    (one,) = a1111_controlnet.units(unit(image={"image": "BBBB", "mask": ""}, module="Canny", threshold_a=100, threshold_b=-1))
    assert (one.image, one.kind, one.model) == ("BBBB", "canny", "lines")
