"""Puts apps/, assets/ and configs/ inside the wheel's mmgen package; an editable install reads them from the checkout."""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CarryData(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel" and version == "standard":
            build_data["force_include"].update({name: f"mmgen/{name}" for name in ("apps", "assets", "configs")})
