"""Names to things: imported on use, whole or not at all, each mistake with its remedy."""

import sys

import pytest

from mmgen import deprecated
from mmgen.cli.commands import OWN
from mmgen.errors import Clash, NotFound, PluginError
from mmgen.registry import COMMANDS, Registry, Table


def table(**entries: str) -> Table:
    filled = Table("pipeline", "pixel")
    for name, target in entries.items():
        filled.add(name, target)
    return filled


def test_nothing_is_imported_before_it_is_used() -> None:
    sys.modules.pop("this", None)
    filled = table(zen="this:s")
    assert filled.names() == ["zen"] and "zen" in filled and len(filled) == 1
    assert "this" not in sys.modules


def test_get_imports_dotted_attributes() -> None:
    assert table(join="posixpath:os.path.join").get("join") is __import__("os").path.join


@pytest.mark.parametrize("name", ["", "Pixel", "pixel_map", "-pixel", "pixel map", "1pixel", None])
def test_malformed_names_are_refused(name: str) -> None:
    with pytest.raises(PluginError, match="of pixel: names are lowercase words joined by dashes"):
        table().add(name, "a:b")


@pytest.mark.parametrize("target", ["module", "module:", ":f", "a b:c", None])
def test_malformed_targets_are_refused(target: str) -> None:
    with pytest.raises(PluginError, match='is not of the form "module:attribute"'):
        table().add("pixel", target)


def test_a_clash_names_both_owners() -> None:
    first, second = Registry("first"), Registry("second")
    first.pipelines.add("pixel", "a:b")
    second.pipelines.add("pixel", "c:d")
    with pytest.raises(Clash, match='pipeline "pixel" of second is already registered by first'):
        first.absorb(second)


def test_absorbing_is_whole_or_not_at_all() -> None:
    merged, other = Registry("mmgen"), Registry("other")
    merged.rerankers.add("mmr", "a:b")
    other.pipelines.add("good", "a:b")
    other.rerankers.add("mmr", "c:d")
    with pytest.raises(Clash):
        merged.absorb(other)
    assert "good" not in merged.pipelines


def test_a_pipeline_cannot_hide_a_command() -> None:
    with pytest.raises(Clash, match='pipeline "rag" of pixel would hide a command of mmgen'):
        Registry("pixel").pipelines.add("rag", "a:b")
    assert set(OWN) == COMMANDS


def test_an_unknown_name_gets_the_nearest_or_all() -> None:
    filled = table(txt2img="a:b", inpaint="a:b")
    with pytest.raises(NotFound, match=r'no pipeline "txt2imgg" \(did you mean "txt2img"\?\)'):
        filled.get("txt2imgg")
    with pytest.raises(NotFound, match=r"\(known: txt2img, inpaint\)"):
        filled.get("zzz")
    with pytest.raises(NotFound, match=r"\(none is registered\)"):
        table().get("x")


@pytest.mark.parametrize("target", ["no_such_module:x", "os:no_such_attribute"])
def test_what_cannot_be_imported_names_its_owner(target: str) -> None:
    with pytest.raises(PluginError, match=f'pipeline "bad" of pixel cannot be imported from {target}'):
        table(bad=target).get("bad")


def test_a_mistyped_table_is_told() -> None:
    with pytest.raises(AttributeError, match='did you mean "pipelines"'):
        Registry("pixel").pipeline.add("x", "a:b")  # type: ignore[attr-defined]


def test_a_table_goes_by_its_old_name_for_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecated, "_told", set())
    registry = Registry("pixel")
    with pytest.warns(DeprecationWarning, match=r"Registry\.picture_encoders is Registry\.image_encoders now"):
        registry.picture_encoders.add("eye", "a:b")
    assert registry.image_encoders.names() == ["eye"] and "picture_encoders" not in registry.tables()
