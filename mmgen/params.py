"""What a call can say, declared once as a frozen dataclass: a field's type, default, limits and help.

Signatures are derived from the fields, and from signatures the command line, the HTTP schemas, the web forms and the recipes;
the object itself travels from the caller to the runner.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar, get_args, get_type_hints

from mmgen import value_checks
from mmgen.errors import BadRequest, nearest

R = TypeVar("R")


@dataclass(frozen=True)
class ParamInfo:
    """What is known of a field besides its type and default; in its metadata under `param`."""

    help: str = ""
    least: float | None = None  # of a number; None: it is not checked here
    most: float = math.inf
    above: bool = False  # `least` itself is too little
    whole: bool = False  # fractions are out
    limits: str = ""  # how an error tells them; "": LEAST to MOST
    longest: int | None = None  # characters of a text
    text: str = ""  # how an error calls the text; "": by its name
    choices: tuple[Any, ...] = ()
    label: str = ""  # on a form; "": its name
    slider: tuple[float, float, float] | None = None  # on a form: from, to, step
    many: bool = False  # several may be given: each is a call of its own
    recorded: bool = True  # it decides the result, so it stands in its recipe

    def check(self, name: str, value: Any) -> None:
        """Raises BadRequest or TooLong for a value out of its limits, as nan and infinity are. None is the model's choice."""
        if self.choices and value not in self.choices:
            hint = nearest(str(value), list(self.choices))
            raise BadRequest(f"{name} is {value!r}{hint}; it can be {', '.join(self.choices)}")
        if value is None:
            return
        if self.longest is not None:
            value_checks.length(value, self.text or name, self.longest)
        if self.least is not None:
            value_checks.number(name, value, self.least, self.most, self.limits, above=self.above, whole=self.whole)


def param(default: Any, help: str, *, kind: Any = None, hash: bool | None = None, **more: Any) -> Any:
    """A field; `more` as ParamInfo has it, or `kind`, the Literal whose members it can be."""
    if kind is not None:
        more["choices"] = get_args(kind)
    return field(default=default, hash=hash, metadata={"param": ParamInfo(help, **more)})


def infos(params: Any) -> dict[str, ParamInfo]:
    """Of the fields of a class or an object that a caller can give, in their order."""
    return {one.name: one.metadata["param"] for one in fields(params) if "param" in one.metadata}


def types(params: type[Any]) -> dict[str, Any]:
    """Of the same fields. Where the class's module keeps annotations as texts, all of them must name what it holds."""
    written = {one.name: one.type for one in fields(params) if "param" in one.metadata}
    if any(isinstance(one, str) for one in written.values()):
        hints = get_type_hints(params)
        return {name: hints[name] for name in written}
    return written


def check(params: Any) -> None:
    """Raises BadRequest or TooLong for the first field that is out of its limits; None fits where it is the default."""
    defaults = {one.name: one.default for one in fields(params)}
    for name, info in infos(params).items():
        if (value := getattr(params, name)) is not None or defaults[name] is not None:
            info.check(name, value)


def keywords(
    params: type[Any], *, leave_out: Collection[str] = (), defaults: Mapping[str, Any] | None = None
) -> list[inspect.Parameter]:
    """A call's keyword-only parameters, one for a field that a caller can give; `defaults` go before the fields' own."""
    usual = {one.name: one.default for one in fields(params)} | dict(defaults or {})
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=usual[name],
            annotation=kind if usual[name] is not None else kind | None,
        )
        for name, kind in types(params).items()
        if name not in leave_out
    ]


def takes(
    params: type[Any], *, leave_out: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A method whose `params` a caller gives as keywords, one a field, or whole, as `params=`.

    The method's signature and docstring name them all, but for those of `leave_out`; `defaults` are the method's own. Params
    with a field `unset` learn in it which of these the caller left to the method.
    """
    given, known = keywords(params, leave_out=leave_out, defaults=defaults), infos(params)
    names = {one.name for one in given}
    tracks = any(one.name == "unset" for one in fields(params))

    def decorated(method: Callable[..., R]) -> Callable[..., R]:
        own = inspect.signature(method)
        others = [one for one in own.parameters.values() if one.name != "params"]
        positional = [one for one in others if one.kind is not inspect.Parameter.KEYWORD_ONLY]
        signature = own.replace(parameters=[*positional, *given, *others[len(positional) :]])

        @wraps(method)
        def called(*args: Any, **options: Any) -> R:
            whole = options.pop("params", None)
            signature.bind(*args, **options)  # raises TypeError, as any call does
            said = {name: options.pop(name) for name in names & options.keys()}
            if whole is None:
                left = {"unset": frozenset(names) - said.keys()} if tracks else {}
                return method(*args, params=params(**defaults | said | left), **options)
            if said:
                raise TypeError(f"{method.__name__}() takes params or {', '.join(sorted(said))}, not both")
            return method(*args, params=whole, **options)

        called.__signature__ = signature  # type: ignore[attr-defined]
        helps = [f"{name}: {info.help}" for name, info in known.items() if name in names]
        called.__doc__ = "\n".join([inspect.cleandoc(method.__doc__ or ""), "", *helps])
        called.params = params  # type: ignore[attr-defined]
        return called

    return decorated
