"""Units of A1111's ControlNet extension (`alwayson_scripts.controlnet.args`) in the terms of ours. What would change the image
and is not done here is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmgen.errors import BadRequest
from mmgen.image_params import MAX_CONTROL_SCALE, MAX_CONTROLS
from mmgen.serve.routes.image_schemas import ControlBody

NAME = "controlnet"
RAW = ("", "none", "ip-adapter-auto", "ip-adapter_clip_sd15", "ip-adapter_clip_sdxl", "ip-adapter_clip_sdxl_plus_vith")
"""Preprocessors that leave the image to the model."""
BALANCED, CROP = ("", "0", "balanced"), ("", "1", "crop and resize", "scale to fit (inner fit)")
"""Values of control_mode and resize_mode that are ours."""


class ControlUnit(BaseModel):
    """One unit, as the extension's API names its values."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    enabled: bool = True
    image: str | dict[str, Any] | None = None
    input_image: str | None = None
    module: str | None = None
    model: str = ""
    weight: float = Field(1.0, ge=0, le=MAX_CONTROL_SCALE)
    guidance_start: float = Field(0.0, ge=0, le=1)
    guidance_end: float = Field(1.0, ge=0, le=1)
    control_mode: int | str | None = None
    resize_mode: int | str | None = None
    threshold_a: float | None = None
    threshold_b: float | None = None
    mask: str | None = None

    def given(self) -> ControlBody:
        """Raises BadRequest for what is not done here."""
        module = (self.module or "").strip().lower()
        if module not in (*RAW, "canny"):
            raise BadRequest(
                f"module is {module[:40]!r}; canny is computed here: send other maps as the image, with module none"
            )
        for name, known in (("control_mode", BALANCED), ("resize_mode", CROP)):
            said = getattr(self, name)
            if said is not None and str(said).strip().lower() not in known:
                raise BadRequest(f"{name} is {str(said)[:40]!r}; this server has {known[-1]} alone")
        thresholds = ((self.threshold_a, 100), (self.threshold_b, 200))
        if module == "canny" and any(one not in (None, -1, usual) for one, usual in thresholds):
            raise BadRequest("canny has thresholds 100 and 200 here; leave threshold_a and threshold_b out")
        parts = self.image if isinstance(self.image, dict) else {"image": self.image}
        image, mask = parts.get("image") or self.input_image, parts.get("mask") or self.mask
        if mask:
            raise BadRequest("a control unit has a mask, and this server controls the whole image; leave it out")
        if not isinstance(image, str) or not image:
            raise BadRequest(f"control unit {self.model[:60]!r} has no image; give it one")
        name = re.sub(r"\s*\[\w+\]$", "", self.model.strip())
        return ControlBody(
            model=name, image=image, scale=self.weight, start=self.guidance_start, end=self.guidance_end,
            kind="canny" if module == "canny" else "raw",
        )  # fmt: skip


def units(scripts: Mapping[str, Any] | None) -> list[ControlBody]:
    """The enabled units of a call's always-on scripts. Raises BadRequest for other scripts with arguments."""
    found: list[ControlBody] = []
    for script, said in (scripts or {}).items():
        args = said.get("args") if isinstance(said, dict) else said
        if not args:
            continue
        if script.lower() != NAME or not isinstance(args, list):
            raise BadRequest(f"alwayson_scripts has {script[:40]!r}, and this server draws without it; leave it out")
        try:
            read = [ControlUnit.model_validate(one) for one in args if one]
            found += [one.given() for one in read if one.enabled]
        except ValidationError as why:
            first = why.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadRequest(f"a unit of controlnet cannot be read ({where}: {first['msg']})") from None
    if len(found) > MAX_CONTROLS:
        raise BadRequest(f"{len(found)} control units; {MAX_CONTROLS} may be enabled at once")
    return found
