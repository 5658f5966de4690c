"""Old names go on working for a release, give the same objects, and say once what they are called now."""

import importlib
import logging
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from cli_call import Call

from mmgen import config, deprecated
from mmgen.errors import ConfigError
from mmgen.old_names import COMMANDS, MOVED, OPTIONS, REMOVED, RENAMED
from mmgen.pipelines import signature


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deprecated, "_told", set())


@pytest.fixture
def forgotten() -> Iterator[None]:
    """Old modules are imported anew, and forgotten again."""
    kept = {name: sys.modules.pop(name) for name in MOVED if is_alias(name)}
    yield
    for name in MOVED:
        if is_alias(name):
            del sys.modules[name]
    sys.modules.update(kept)


def is_alias(name: str) -> bool:
    return name in sys.modules and sys.modules[name].__name__ != name


def is_real(name: str) -> bool:
    """Whether something else has the name today."""
    place = Path(deprecated.__file__).parents[1] / name.replace(".", "/")
    return place.is_dir() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("old", [name for name in MOVED if not is_real(name)])
@pytest.mark.usefixtures("forgotten")
def test_a_module_that_moved(old: str) -> None:
    with pytest.warns(
        DeprecationWarning, match=rf"^{old} is {MOVED[old]} now; the old name goes in the next release$"
    ) as given:
        found = importlib.import_module(old)
    assert found is importlib.import_module(MOVED[old]) and len(given) == 1
    assert found.__spec__ is not None and found.__spec__.name == MOVED[old]


@pytest.mark.parametrize("old", [name for name in MOVED if is_real(name)])
def test_a_module_whose_name_is_a_packages_now(old: str) -> None:
    home = importlib.import_module(MOVED[old])
    names = [name for name, value in vars(home).items() if getattr(value, "__module__", "") == home.__name__]
    assert names
    for name in names:
        with pytest.warns(DeprecationWarning, match=f"^{old}.{name} is {MOVED[old]}.{name} now"):
            assert getattr(importlib.import_module(old), name) is getattr(home, name)


@pytest.mark.parametrize(("module", "old"), [(module, old) for module, names in RENAMED.items() for old in names])
def test_an_attribute_that_was_renamed(module: str, old: str) -> None:
    home, _, name = f"{module}:{RENAMED[module][old]}".rpartition(":")
    home = home.rpartition(":")[2]  # it may live elsewhere now
    imported, target = importlib.import_module(module), getattr(importlib.import_module(home), name)
    if home != module and old in vars(imported):  # a module that still uses what it gave away
        assert vars(imported)[old] is target
        return
    with pytest.warns(DeprecationWarning, match=f"^{module}.{old} is {home}.{name} now"):
        assert getattr(imported, old) is target


@pytest.mark.usefixtures("forgotten")
def test_an_old_attribute_of_an_old_module() -> None:
    with pytest.warns(DeprecationWarning) as given:
        from mmgen.engine.residents import Residents
    from mmgen.engine.memory.model_pool import ModelPool

    assert Residents is ModelPool and len(given) == 2
    assert all(Path(one.filename) == Path(__file__) for one in given)


@pytest.mark.usefixtures("forgotten")
def test_a_plugins_target() -> None:
    from mmgen.registry import import_target

    with pytest.warns(DeprecationWarning, match=r"mmgen\.models\.encoder is mmgen\.models\.encoders\.sentence_encoder now"):
        found = import_target("mmgen.models.encoder:load", "an encoder")
    assert found is importlib.import_module("mmgen.models.encoders.sentence_encoder").load


@pytest.mark.parametrize(
    ("module", "name", "instead"), [(module, name, text) for module, names in REMOVED.items() for name, text in names.items()]
)
def test_what_was_removed_says_what_to_do_instead(module: str, name: str, instead: str) -> None:
    told = f"was removed; {re.escape(instead)}$"
    if not name:
        with pytest.raises(ModuleNotFoundError, match=f"^{module} {told}"):
            importlib.import_module(module)
        return
    *kind, attribute = name.split(".")
    home = importlib.import_module(module)
    owner = object.__new__(getattr(home, kind[0])) if kind else home
    with pytest.raises(AttributeError, match=f"^{name if kind else f'{module}.{name}'} {told}"):
        getattr(owner, attribute)
    for target in re.findall(r"\bmmgen(?:\.\w+)+", instead):  # and names what there is
        assert pkgutil.resolve_name(target)


def test_what_was_removed_from_a_module_that_moved() -> None:
    with pytest.warns(DeprecationWarning), pytest.raises(ImportError, match="CopyConstraint"):
        from mmgen.models.grounding import CopyConstraint  # noqa: F401


def test_what_never_was_is_an_error() -> None:
    for module in ("mmgen.library", "mmgen.registry"):
        with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'never'"):
            getattr(importlib.import_module(module), "never")  # noqa: B009
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mmgen.never")


def test_our_own_code_uses_no_old_name() -> None:
    ours = "mmgen, mmgen.runtime, mmgen.cli.main, mmgen.serve.app, mmgen.pipelines.rag_text, mmgen.training.loop, apps.web"
    code = f"import sys, {ours}; print(*sorted(sys.modules))"
    told = ["-W", "error::DeprecationWarning:mmgen", "-W", "always::DeprecationWarning:__main__"]
    done = subprocess.run([sys.executable, *told, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {name for name in MOVED if not is_real(name)}
    assert "goes in the next release" not in done.stderr


def test_importing_mmgen_stays_light() -> None:
    code = (
        "import sys; before = set(sys.modules); import mmgen; print(*sorted(m for m in sys.modules if m.startswith('mmgen')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mmgen", "mmgen.deprecated", "mmgen.old_names"]


def test_the_finder_is_installed_once() -> None:
    deprecated.install()
    assert sum(type(finder).__name__ == "_OldNames" for finder in sys.meta_path) == 1


@deprecated.keywords(picture="image", top_pictures="top_images")
def tiny(rt: object, image: str, top_images: int = 1) -> str:
    """A pipeline."""
    return image * top_images


def test_old_keyword_arguments() -> None:
    with pytest.warns(DeprecationWarning, match="^tiny: picture is image now"):
        assert tiny(None, picture="a", top_images=2) == "aa"  # type: ignore[call-arg]
    assert tiny(None, "b") == "b"
    with pytest.raises(TypeError, match="picture"):
        tiny(None, image="a", picture="b")  # type: ignore[call-arg]
    assert [parameter.name for parameter in signature.read("tiny", tiny).parameters] == ["image", "top_images"]
    assert signature.old_names(tiny) == {"picture": "image", "top_pictures": "top_images"}


@deprecated.attributes(pictures="images", add_pictures="add_images")
class Tiny:
    def __init__(self) -> None:
        self.images = [1]

    def add_images(self, number: int) -> None:
        self.images.append(number)


def test_old_attributes() -> None:
    made = Tiny()
    with pytest.warns(DeprecationWarning, match=r"^Tiny\.add_pictures is Tiny\.add_images now"):
        made.add_pictures(2)  # type: ignore[attr-defined]
    with pytest.warns(DeprecationWarning, match=r"^Tiny\.pictures is Tiny\.images now"):
        assert made.pictures == [1, 2]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (["txt2img", "a", "--steps", "2"], ["txt2img", "a", "--steps", "2"]),
        (["rag", "ask", "q", "--pictures", "2"], ["rag", "ask", "q", "--images", "2"]),
        (["rag", "ask", "--pictures=2", "--", "--pictures"], ["rag", "ask", "--images=2", "--", "--pictures"]),
        (["rag", "add", "--no-pictures", "x"], ["rag", "add", "--no-images", "x"]),
        (["plugin", "ask", "--pictures"], ["plugin", "ask", "--pictures"]),
        ([], []),
    ],
)
def test_old_options(given: list[str], made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert deprecated.command_line(given) == made
    lines = capsys.readouterr().err.splitlines()
    old = [(a.partition("=")[0], b.partition("=")[0]) for a, b in zip(given, made, strict=True) if a != b]
    assert lines == [f"{a} is {b} now; the old name goes in the next release" for a, b in old]


def test_old_commands(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(deprecated, "COMMANDS", {"picture": "image", "image look": "image search"})
    assert deprecated.command_line(["picture", "look", "--picture", "x"]) == ["image", "search", "--image", "x"]
    assert [line.partition(";")[0] for line in capsys.readouterr().err.splitlines()] == [
        "picture is image now",
        "image look is image search now",
        "--picture is --image now",
    ]


def test_the_tables_name_what_exists(call: Call) -> None:
    for command in OPTIONS:
        told = call(*command.split(), "--help").out
        for old, new in OPTIONS[command].items():
            assert new in told and old not in told, f"{command} {new}"
    for new in COMMANDS.values():
        assert call(*new.split(), "--help").code == 0


class TinyConfig(config.Config):
    old_keys: ClassVar = {"picture": "image"}

    image: int = 0


def test_old_keys(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert config.load({"picture": 3}, TinyConfig).image == 3
        assert config.with_overrides(TinyConfig(image=1), ["picture=2"]).image == 2
        assert config.load({}, TinyConfig, ["picture=4"]).image == 4
    assert caplog.messages == ["TinyConfig: picture is image now; the old name goes in the next release"]
    with pytest.raises(ConfigError, match='unknown key "picture"'):
        config.load({"picture": 3, "image": 4}, TinyConfig)


def test_modules_keep_their_own_getattr() -> None:
    import mmgen

    assert isinstance(mmgen, ModuleType) and mmgen.Runtime is importlib.import_module("mmgen.runtime").Runtime


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("rag-text", {"pictures": "images"}),
        ("image-search", {"picture": "image"}),
        ("zero-shot-image", {"picture": "image"}),
        ("image-embed", {"pictures": "images"}),
        ("tags", {"picture": "image"}),
        ("caption", {"picture": "image"}),
    ],
)
def test_parameters_of_pipelines(name: str, old: dict[str, str], call: Call) -> None:
    from mmgen.plugins import registry

    pipeline = registry().pipelines.get(name)
    assert signature.old_names(pipeline) == old
    assert set(old.values()) <= {parameter.name for parameter in signature.read(name, pipeline).parameters}


def test_an_old_parameter_in_python_and_as_an_option(call: Call, home: Path) -> None:
    from mmgen.errors import BadRequest
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        for give in (
            lambda: pipeline("caption", runtime=rt, picture="x.png")(),
            lambda: pipeline("caption", runtime=rt)(picture="x"),
        ):
            deprecated._told.clear()
            with (
                pytest.warns(DeprecationWarning, match="^caption: picture is image now"),
                pytest.raises(BadRequest, match="no model"),
            ):
                give()
    told = call("image-search", "--picture", "gone.png")
    assert told.code == 2 and told.err.splitlines()[0] == "--picture is --image now; the old name goes in the next release"
    assert "gone.png" in told.err.splitlines()[1]


def test_old_fields_of_requests(caplog: pytest.LogCaptureFixture) -> None:
    from mmgen.serve.routes.store_schemas import Ask, Search

    assert Search.model_validate({"query": "q", "pictures": 2}).images == 2
    assert Ask.model_validate({"question": "q", "pictures": 2}).images == 2
    assert [line.partition(";")[0] for line in caplog.messages] == [
        f"{one}: pictures is images now" for one in ("Search", "Ask")
    ]
    assert "pictures" not in Search.model_json_schema()["properties"]


def test_keys_of_config_yaml(home: Path) -> None:
    home.mkdir(parents=True)
    (home / "config.yaml").write_text("picture_encoder: some/folder\n")
    assert config.load_runtime().image_encoder == "some/folder"
    assert config.load_runtime(overrides=["picture_encoder=other"]).image_encoder == "other"


def test_libraries_made_of_what_they_were_made_of(home: Path, tmp_path: Path) -> None:
    from mmgen.library.document_library import DocumentLibrary
    from mmgen.library.image_library import ImageLibrary
    from mmgen.runtime import Runtime

    with Runtime() as rt:
        with pytest.warns(
            DeprecationWarning, match=r"^DocumentLibrary\(runtime, path\) is DocumentLibrary\.open\(runtime, path\) now"
        ):
            library = DocumentLibrary(rt, tmp_path / "store", encoder="embedded:minilm")
        with pytest.warns(DeprecationWarning, match=r"^ImageLibrary\(library\) is library\.gallery\(\) now"):
            gallery = ImageLibrary(library)  # type: ignore[arg-type]
        assert gallery.path == library.path == tmp_path / "store" and gallery.handle is library.handle


def test_attributes_of_shapes_and_engines() -> None:
    from mmgen.engine.engine import Engine
    from mmgen.models import transformer_config

    shape = transformer_config.load(config.configs_dir() / "models" / "qwen3.yaml")
    with pytest.warns(DeprecationWarning) as given:
        old = shape.width, shape.hidden, shape.vocabulary, shape.groups, shape.head  # type: ignore[attr-defined]
    assert old == (shape.hidden_size, shape.intermediate_size, shape.vocab_size, shape.kv_heads, shape.head_size)
    assert len(given) == 5
    with pytest.warns(DeprecationWarning) as given:
        made = transformer_config.TransformerConfig(
            vocabulary=9, width=8, layers=1, heads=2, hidden=16, max_tokens=4, kv_heads=1
        )  # type: ignore[call-arg]
    assert (made.vocab_size, made.hidden_size, made.intermediate_size, made.num_kv_heads) == (9, 8, 16, 1)
    assert str(given[0].message).startswith("TransformerConfig: hidden is intermediate_size now") and len(given) == 4
    with pytest.raises(TypeError, match="hidden_size"):
        transformer_config.TransformerConfig(9, 8, 1, 2, 16, 4, width=8)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="wide"):
        transformer_config.TransformerConfig(9, 8, 1, 2, 16, 4, wide=8)  # type: ignore[call-arg]
    with Engine({}) as engine, pytest.warns(DeprecationWarning, match="^Engine.residents is Engine.models now"):
        assert engine.residents is engine.models  # type: ignore[attr-defined]
