"""What a pipeline takes, read from its signature and docstring: one description for the CLI, the API schema and the web form.

A pipeline is a class that takes a runtime and is called, or a function whose first argument is the runtime. The runtime and
the request are ours to give; everything else is the caller's.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from mmgen.errors import PluginError
from mmgen.params import ParamInfo, infos, keywords
from mmgen.registry import one_line

OURS = frozenset({"self", "rt", "request"})
Stage = Literal["make", "call"]
"""Whether the constructor or the call takes it."""
UNDECLARED = ParamInfo()
HELP_LINE = re.compile(r"(\w+(?:, \w+)*): (.+)")


@dataclass(frozen=True)
class Parameter:
    """One thing that a caller can give."""

    name: str
    annotation: Any  # the type itself, never its name
    default: Any  # meaningless where `required`
    required: bool
    help: str  # from the docstring's line "name: text"; may be empty
    stage: Stage
    info: ParamInfo = UNDECLARED  # of one that a dataclass of `mmgen.params` declares

    def __str__(self) -> str:
        kind = inspect.formatannotation(self.annotation).replace("collections.abc.", "")
        return f"{self.name}: {kind}" + ("" if self.required else f" = {self.default!r}")


@dataclass(frozen=True)
class Signature:
    """A pipeline's parameters, required ones first, and its docstring without the lines that describe them."""

    name: str
    text: str
    parameters: tuple[Parameter, ...]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parameters))})"


def read(name: str, pipeline: Any) -> Signature:
    """Describes the class or function registered as `name`.

    Raises PluginError if it is neither, or if a parameter has no type that can be found at run time.
    """
    if inspect.isclass(pipeline):
        stages: list[tuple[Callable[..., Any], Stage]] = [(pipeline.__init__, "make"), (pipeline.__call__, "call")]
    elif inspect.isfunction(pipeline):
        stages = [(pipeline, "call")]
    else:
        raise PluginError(f'pipeline "{name}" is a {type(pipeline).__name__}; it should be a class or a function')
    text = inspect.getdoc(pipeline) or ""
    found = [p for function, stage in stages for p in _parameters(name, function, stage, text)]
    found.sort(key=lambda parameter: not parameter.required)  # stable: otherwise in the order of writing
    return Signature(name, split_docstring(text, [p.name for p in found])[0], tuple(found))


def declared(params: type[Any]) -> list[Parameter]:
    """A dataclass of `mmgen.params`, field by field."""
    known = infos(params)
    return [
        Parameter(one.name, one.annotation, one.default, False, known[one.name].help, "call", known[one.name])
        for one in keywords(params)
    ]


def _parameters(name: str, function: Callable[..., Any], stage: Stage, text: str) -> Iterator[Parameter]:
    """`text` is the pipeline's docstring; the function's own goes first."""
    collected = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    taken = {key: p for key, p in inspect.signature(function).parameters.items() if key not in OURS and p.kind not in collected}
    helps = split_docstring(text, taken)[1] | split_docstring(inspect.getdoc(function) or "", taken)[1]
    declared = infos(function.params) if hasattr(function, "params") else {}
    for key, given in taken.items():
        required = given.default is inspect.Parameter.empty
        annotation = _resolved(name, function, given)
        yield Parameter(
            key,
            annotation,
            None if required else given.default,
            required,
            helps.get(key, ""),
            stage,
            declared.get(key, UNDECLARED),
        )


def _resolved(name: str, function: Callable[..., Any], given: inspect.Parameter) -> Any:
    """The type behind an annotation. One by one: the runtime's own is often known to type checkers only."""
    if given.annotation is inspect.Parameter.empty:
        return str if given.default is inspect.Parameter.empty or given.default is None else type(given.default)
    if not isinstance(given.annotation, str):
        return given.annotation
    try:
        return eval(given.annotation, inspect.unwrap(function).__globals__)
    except Exception as why:
        raise PluginError(
            f'pipeline "{name}": the type {given.annotation} of {given.name} is unknown at run time ({one_line(why)}); '
            "import it outside of TYPE_CHECKING"
        ) from why


def old_names(pipeline: Any) -> dict[str, str]:
    """Old names of parameters -> today's, as `deprecated.keywords` marked them."""
    made = [pipeline.__init__, pipeline.__call__] if inspect.isclass(pipeline) else [pipeline]
    return {old: new for function in made for old, new in getattr(function, "old_names", {}).items()}


def split_docstring(text: str, names: Collection[str]) -> tuple[str, dict[str, str]]:
    """A cleaned docstring to its prose and what it says about each of `names`.

    A parameter is described by a line `name: text` (or `name, name: text`), which goes on in deeper lines.
    """
    prose: list[str] = []
    helps: dict[str, str] = {}
    current: list[str] = []
    depth = 0
    for line in text.splitlines():
        indent = len(line) - len(line.lstrip())
        match = HELP_LINE.fullmatch(line.strip())
        if current and line.strip() and indent > depth:
            helps.update({name: f"{helps[name]} {line.strip()}" for name in current})
        elif match and all(name in names for name in match[1].split(", ")):
            current, depth = match[1].split(", "), indent
            helps.update(dict.fromkeys(current, match[2]))
        else:
            current = []
            prose += [] if line.strip() == "Args:" else [line]
    return "\n".join(prose).strip(), helps


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None, Annotated taken off; any other type stands alone."""
    if typing.get_origin(annotation) is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [found for part in typing.get_args(annotation) if part is not types.NoneType for found in alternatives(part)]
    return [annotation]
