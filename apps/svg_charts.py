"""Time series as small SVG charts in HTML. Names are escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 600, 120
SPAN = 300.0  # seconds on the time axis


def stacked(times: Sequence[float], rows: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> str:
    """Stacked bars of shares, 0 to 1. `times`: seconds ago of every row, the oldest first."""
    width = _bar_width(times)
    bars = []
    for ago, row in zip(times, rows, strict=True):
        top = 1.0
        for number, name in enumerate(names):
            share = min(top, row.get(name, 0.0))
            if share > 0.002:
                top -= share
                bars.append(
                    f"<rect class='c{number}' x='{_x(ago) - width:.1f}' width='{width * 0.9:.1f}' y='{HEIGHT * top:.1f}' "
                    f"height='{HEIGHT * share:.1f}'><title>{escape(name)} {share:.0%}</title></rect>"
                )
    return _chart(title, "100%", _series(rows, names), "".join(bars))


def lines(times: Sequence[float], rows: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> str:
    """A line for every name; the axis goes from 0 to the largest value of all, at least 1."""
    most = max([1.0, *(row.get(name, 0.0) for row in rows for name in names)])
    polylines = []
    for number, name in enumerate(names):
        points = [f"{_x(ago):.1f},{HEIGHT * (1 - row.get(name, 0.0) / most):.1f}" for ago, row in zip(times, rows, strict=True)]
        polylines.append(f"<polyline class='c{number}' points='{' '.join(points)}'/>")
    return _chart(title, f"{most:.0f}", _series(rows, names), "".join(polylines))


def _series(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> list[tuple[int, str]]:
    """Names with any value but 0, for the legend, each with its index, which selects its colour."""
    return [(number, name) for number, name in enumerate(names) if any(row.get(name) for row in rows)]


def _chart(title: str, most: str, names: Sequence[tuple[int, str]], shapes: str) -> str:
    legend = "".join(f"<span><i class='c{number}'></i>{escape(name)}</span>" for number, name in names)
    return (
        f"<figure class='chart'><figcaption><b>{escape(title)}</b>{legend}<small>up to {escape(most)}</small></figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none' role='img' aria-label='{escape(title)}'>{shapes}</svg>"
        f"<p class='axis'><span>{SPAN / 60:.0f} min ago</span><span>now</span></p></figure>"
    )


def _x(ago: float) -> float:
    return WIDTH * (1 - ago / SPAN)


def _bar_width(times: Sequence[float]) -> float:
    """The mean interval between two samples, in units of the view box."""
    return WIDTH * (times[0] - times[-1]) / max(1, len(times) - 1) / SPAN if len(times) > 1 else WIDTH / 150
