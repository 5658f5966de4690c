"""Names of the last release: for one more release they go on working, and say once what they are called now.

The tables are in old_names.py; a row there is all that a renamed module, class, command or option needs. What has no global
name is marked where it is: parameters by `keywords` and `constructor`, attributes by `attributes`, keys of models by `old_keys`
in config.py.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any, TypeVar

from mmgen.old_names import COMMANDS, MOVED, OPTIONS, REMOVED, RENAMED

log = logging.getLogger(__name__)
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
_told: set[str] = set()
"""Messages that were given; each is given once a process."""


def message(old: str, new: str) -> str:
    return f"{old} is {new} now; the old name goes in the next release"


def warn(old: str, new: str, stacklevel: int = 2) -> None:
    """For names in Python. `stacklevel` counts from the caller of this function."""
    if old not in _told:
        _told.add(old)
        warnings.warn(message(old, new), DeprecationWarning, stacklevel=stacklevel + 1)


def tell(old: str, new: str) -> None:
    """For keys of files and requests: one line in the log."""
    if old not in _told:
        _told.add(old)
        log.warning("%s", message(old, new))


# Modules and what they hold


def install() -> None:
    """Lets old modules and attributes be imported. Imports nothing itself; in a second call it does nothing."""
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldNames())


class _OldNames(MetaPathFinder):
    """Finds modules under their old names, and gives modules a `__getattr__` whose attributes have old names."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in MOVED and name not in RENAMED and name not in REMOVED:
            return None
        found = PathFinder.find_spec(name, path)
        if found is None and "" in REMOVED.get(name, {}):
            raise ModuleNotFoundError(gone(name, REMOVED[name][""]), name=name)
        if found is not None and isinstance(found.loader, SourceFileLoader):  # a module of today's
            found.loader = _Renamed(name, found.loader.path)
            return found
        return ModuleSpec(name, _Moved()) if found is None and name in MOVED else found


class _Moved(Loader):
    """The module of today's in the old one's place."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        warn(name, MOVED[name])
        sys.modules[name] = import_module(MOVED[name])


class _Renamed(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.__dict__.setdefault("__getattr__", _attribute_of(module.__name__))
        for name, instead in REMOVED.get(module.__name__, {}).items():
            kind, dot, attribute = name.partition(".")
            if dot:
                setattr(getattr(module, kind), attribute, _gone(name, instead))


def _attribute_of(module: str) -> Callable[[str], Any]:
    """A module's `__getattr__`."""

    def old_attribute(name: str) -> Any:
        target = _where(module, name)
        if target is None and (instead := REMOVED.get(MOVED.get(module, module), {}).get(name)) is not None:
            raise AttributeError(gone(f"{module}.{name}", instead))
        if target is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = target.partition(":")
        found = getattr(import_module(home), attribute)
        warn(f"{module}.{name}", f"{home}.{attribute}")
        return found

    return old_attribute


def gone(old: str, instead: str) -> str:
    return f"{old} was removed; {instead}"


def _gone(name: str, instead: str) -> property:
    """In the place of a class's attribute that nothing replaces under another name."""

    def get(self: Any) -> Any:
        raise AttributeError(gone(name, instead), name=name.rpartition(".")[2], obj=self)

    return property(get)


def _where(module: str, name: str) -> str | None:
    """ "module:attribute" for an old attribute of a module; None: it never had one."""
    if name.startswith("__"):
        return None
    if (new := RENAMED.get(module, {}).get(name)) is not None:
        return new if ":" in new else f"{module}:{new}"
    if (home := MOVED.get(module)) is None:
        return None
    return _where(home, name) or (f"{home}:{name}" if hasattr(import_module(home), name) else None)


# Parameters and attributes


def keywords(**names: str) -> Callable[[F], F]:
    """A function that takes keyword arguments by old names, too: `@keywords(picture="image")`.

    A pipeline's command, schema and HTTP route take them as well.
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            return function(*args, **renamed(given, names, f"{function.__qualname__}: "))

        call.old_names = dict(names)  # type: ignore[attr-defined]
        return call  # type: ignore[return-value]

    return decorate


def renamed(given: dict[str, Any], names: Mapping[str, str], what: str) -> dict[str, Any]:
    """`given` by today's names; warns of old ones. Who gives both gets neither renamed, and the usual error."""
    old = {name for name in names.keys() & given.keys() if names[name] not in given}
    for name in sorted(old):
        warn(f"{what}{name}", names[name], stacklevel=3)
    return {names[name] if name in old else name: value for name, value in given.items()} if old else given


def attributes(**names: str) -> Callable[[type[T]], type[T]]:
    """A class whose methods and fields can be had by old names, too: `@attributes(add_pictures="add_images")`."""

    def decorate(kind: type[T]) -> type[T]:
        for old, new in names.items():
            setattr(kind, old, _alias(kind.__name__, old, new))
        return kind

    return decorate


def constructor(**names: str) -> Callable[[type[T]], type[T]]:
    """A class whose constructor takes keyword arguments by old names, too: `@constructor(width="hidden_size")`."""

    def decorate(kind: type[T]) -> type[T]:
        made: Callable[..., None] = kind.__init__

        @wraps(made)
        def init(self: T, *args: Any, **given: Any) -> None:
            made(self, *args, **renamed(given, names, f"{kind.__name__}: "))

        setattr(kind, "__init__", init)  # noqa: B010  which mypy would not let be assigned
        return kind

    return decorate


def _alias(kind: str, old: str, new: str) -> property:
    def get(self: Any) -> Any:
        warn(f"{kind}.{old}", f"{kind}.{new}")
        return getattr(self, new)

    return property(get, doc=f"The old name of `{new}`.")


# The command line


def command_line(args: Sequence[str]) -> list[str]:
    """`args` of `mmgen` with today's names of commands and their options, and a line on standard error for each old one."""
    words = list(args)
    for depth in (1, 2):
        if (new := COMMANDS.get(" ".join(words[:depth]))) is not None:
            _say(" ".join(words[:depth]), new)
            words[:depth] = new.split()
    for depth in (1, 2):
        words[depth:] = options(words[depth:], OPTIONS.get(" ".join(words[:depth]), {}))
    return words


def options(args: Sequence[str], names: Mapping[str, str]) -> list[str]:
    """`args` with today's names of options; what follows `--` are no options."""
    end = args.index("--") if "--" in args else len(args)
    made = list(args)
    for place, word in enumerate(args[:end]):
        option, equals, value = word.partition("=")
        if option in names:
            _say(option, names[option])
            made[place] = f"{names[option]}{equals}{value}"
    return made


def parameter_options(names: Mapping[str, str]) -> dict[str, str]:
    """Options from a pipeline's old parameters: "--top-pictures" -> "--top-images"."""
    return {"--" + old.replace("_", "-"): "--" + new.replace("_", "-") for old, new in names.items()}


def _say(old: str, new: str) -> None:
    print(message(old, new), file=sys.stderr)
