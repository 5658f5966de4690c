"""The dashboard in deploy/grafana: every metric that it shows exists, and every metric that exists is shown."""

import json
import re
from pathlib import Path

from mmgen.engine.telemetry.metrics import Metrics
from mmgen.engine.telemetry.prometheus import registry

BOARD = json.loads((Path(__file__).parents[1] / "deploy" / "grafana" / "mmgen.json").read_text())
ENDS = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def test_metrics() -> None:
    families = {family.name: family for family in registry(Metrics()).collect()}
    there = {f"{name}{end}": name for name, family in families.items() for end in ENDS[family.type]}
    said = [target["expr"] for panel in BOARD["panels"] for target in panel.get("targets", ())]
    said += [one["query"]["query"] for one in BOARD["templating"]["list"] if one["type"] == "query"]
    shown = {name for text in said for name in re.findall(r"\bmmgen_\w+", text)}
    assert shown <= set(there)
    assert {there[name] for name in shown} == set(families)


def test_labels() -> None:
    labels = {family.name: set(family._labelnames) for family in registry(Metrics()).collect()}  # type: ignore[attr-defined]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            (name,) = {one.rpartition("_")[0] if one.endswith(("_total", "_bucket", "_sum", "_count")) else one
                       for one in re.findall(r"\bmmgen_\w+", target["expr"])}  # fmt: skip
            by = {word.strip() for group in re.findall(r"by \(([^)]*)\)", target["expr"]) for word in group.split(",")}
            legend = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert (by | legend) - {"le", "instance"} <= labels[name], (panel["title"], name)


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
