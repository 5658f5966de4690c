"""What a call can say, declared once as a frozen dataclass: a field's type, default, limits and help.

Signatures are derived from the fields, and from signatures the command line, the HTTP schemas and the web forms; the object
itself travels from the caller to the runner.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, TypeVar, get_args, get_type_hints

from mmgen.errors import BadRequest

R = TypeVar("R")


@dataclass(frozen=True)
class ParamInfo:
    """What is known of a field besides its type and default; in its metadata under `param`."""

    help: str
    least: float | None = None  # of a number; None: it is not checked here
    most: float = math.inf
    above: bool = False  # `least` itself is too little
    whole: bool = False  # fractions are out
    limits: str = ""  # how an error tells them; "": LEAST to MOST
    choices: tuple[Any, ...] = ()

    def check(self, name: str, value: Any) -> None:
        """Raises BadRequest for a value out of its limits, as nan and infinity are. None is the model's own choice."""
        if self.choices and value not in self.choices:
            raise BadRequest(f"{name} is {value!r}; it can be {', '.join(self.choices)}")
        if value is None or self.least is None:
            return
        fits = isinstance(value, int | float) and not isinstance(value, bool) and self.least <= value <= self.most
        if not fits or value == math.inf or (self.whole and not isinstance(value, int)) or (self.above and value == self.least):
            raise BadRequest(f"{name} is {value!r}; it can be {self.limits or self.span}")

    @property
    def span(self) -> str:
        return "above " * self.above + f"{self.least} to {self.most}"


def param(default: Any, help: str, *, kind: Any = None, hash: bool | None = None, **limits: Any) -> Any:
    """A field; `limits` as ParamInfo has them, or `kind`, the Literal whose members it can be."""
    return field(default=default, hash=hash, metadata={"param": ParamInfo(help, choices=get_args(kind), **limits)})


def infos(params: Any) -> dict[str, ParamInfo]:
    """Of the fields of a class or an object that a caller can give, in their order."""
    return {one.name: one.metadata["param"] for one in fields(params) if "param" in one.metadata}


def check(params: Any) -> None:
    """Raises BadRequest for the first field that is out of its limits."""
    for name, info in infos(params).items():
        info.check(name, getattr(params, name))


def takes(
    params: type[Any], *, leave_out: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A method whose `params` a caller gives as keywords, one a field, or whole, as `params=`.

    The method's signature and docstring name them all, but for those of `leave_out`; `defaults` are the method's own.
    """
    hints, known = get_type_hints(params), infos(params)
    given = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults.get(one.name, one.default),
            annotation=hints[one.name],
        )
        for one in fields(params)
        if one.name in known and one.name not in leave_out
    ]
    names = {one.name for one in given}

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
                return method(*args, params=params(**defaults | said), **options)
            if said:
                raise TypeError(f"{method.__name__}() takes params or {', '.join(sorted(said))}, not both")
            return method(*args, params=whole, **options)

        called.__signature__ = signature  # type: ignore[attr-defined]
        helps = [f"{name}: {info.help}" for name, info in known.items() if name in names]
        called.__doc__ = "\n".join([inspect.cleandoc(method.__doc__ or ""), "", *helps])
        called.params = params  # type: ignore[attr-defined]
        return called

    return decorated
