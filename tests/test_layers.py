"""The import rule of the design: rooms import downward only, nothing sideways; the engine knows no torch."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = (
    ("cli",),
    ("apps", "serve"),
    ("pipelines", "training"),
    ("runtime",),
    ("runners",),
    ("engine", "models", "stores", "ingest"),
    ("base",),
)
ROOMS = {"__main__": "cli", "library": "runtime", "clients": "runtime"} | dict.fromkeys(
    (
        "interfaces",
        "config",
        "registry",
        "plugins",
        "builtin",
        "hub",
        "image_events",
        "image_params",
        "value_checks",
        "embedded",
        "weight_files",
        "errors",
        "deprecated",
        "old_names",
        "params",
        "rag_params",
        "text_params",
        "__init__",
    ),
    "base",
)
"""Files in no folder: `runtime` with library and clients beside it, the rest at the bottom."""
LEVEL = {room: level for level, tier in enumerate(TIERS) for room in tier}
DOOR = ROOT / "mmgen" / "__init__.py"  # names what it hands out, for type checkers alone
FILES = sorted({*ROOT.glob("mmgen/**/*.py"), *ROOT.glob("apps/**/*.py")} - {DOOR})


def room_of(module: str) -> str:
    """`mmgen.engine.job` -> engine, `apps.web` -> apps, `mmgen` -> base"""
    first, *rest = module.split(".")
    name = "apps" if first == "apps" else (rest[0] if rest else "__init__")
    return ROOMS.get(name, name)


def imports(path: Path, package: str) -> Iterator[str]:
    """Every module that a file imports, at the top or within, absolute; `from mmgen import hub` counts as mmgen.hub."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" if base == "mmgen" else base for alias in node.names)


def forbidden(importer: str, imported: str) -> bool:
    return importer != imported and LEVEL[imported] <= LEVEL[importer]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_downward_only(path: Path) -> None:
    module = name_of(path)
    ours = [name for name in imports(path, module.rpartition(".")[0]) if name.split(".")[0] in ("mmgen", "apps")]
    known = {name for name in ours if room_of(name) in LEVEL}  # `from mmgen import __version__` is no module
    wrong = [name for name in sorted(known) if forbidden(room_of(module), room_of(name))]
    assert not wrong, f"{module} may not import {', '.join(wrong)}"


def test_every_room_has_a_tier() -> None:
    assert {room_of(name_of(path)) for path in FILES} <= set(LEVEL)


@pytest.mark.parametrize("path", sorted(ROOT.glob("mmgen/engine/**/*.py")), ids=name_of)
def test_the_engine_knows_no_torch(path: Path) -> None:
    assert "torch" not in {name.split(".")[0] for name in imports(path, "mmgen.engine")}


@pytest.mark.parametrize(
    ("code", "importer", "wrong"),
    [
        ("from mmgen.runtime import Runtime", "engine", True),
        ("def f():\n    import mmgen.stores.documents", "engine", True),
        ("from mmgen import hub", "runtime", False),
        ("from ..cli import main", "pipelines", True),
        ("from mmgen.training.recipes import reader", "pipelines", True),
        ("from mmgen.pipelines.factory import pipeline", "cli", False),
    ],
)
def test_the_rule_itself(code: str, importer: str, wrong: bool, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text(code)
    (name,) = imports(tmp_path / "x.py", f"mmgen.{importer}")
    assert forbidden(importer, room_of(name)) is wrong
