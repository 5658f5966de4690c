"""A plugin for mmgen. Light: nothing is imported before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmgen.registry import Registry


def register(mm: Registry) -> None:
    mm.pipelines.add("pixel-map", "mmgen_pixel.pixel_map:pixel_map", "How near a text is to each label, drawn in blocks")
