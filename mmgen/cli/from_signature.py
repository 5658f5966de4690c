"""A command from a pipeline's signature: required parameters are arguments, the others options, the docstring is the help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from functools import wraps
from pathlib import Path
from types import GenericAlias
from typing import Any, Literal, get_args, get_origin

import typer
from rich.markup import escape

from mmgen.cli.output import print_json
from mmgen.errors import PluginError
from mmgen.pipelines import signature
from mmgen.pipelines.signature import Parameter, Signature

RESERVED = frozenset({"json", "help"})
"""What every generated command has as an option of its own."""


def command(name: str, made: Any) -> Callable[..., None]:
    """A function that Typer can turn into a command. Raises PluginError for what a command line cannot express."""
    described = signature.read(name, made)
    wanted = [parameter for parameter in described.parameters if shown(name, parameter)]

    def run(**given: Any) -> None:
        as_json = given.pop("as_json")
        values = {key: value for key, value in given.items() if value is not None}
        execute(described, values, as_json)

    options = [option(parameter) for parameter in wanted]
    json_option = typer.Option(False, "--json", help="Print JSON.")
    options.append(inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=json_option, annotation=bool))
    run.__doc__ = escape(described.text)
    run.__signature__ = inspect.Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


def said_by_caller(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line: what does not is left to the pipeline, and to the model's own settings."""
    source = context.get_parameter_source(name)
    return source is None or source.name != "DEFAULT"


def execute(described: Signature, given: Mapping[str, Any], as_json: bool) -> None:
    """Makes the pipeline with its share of the values, calls it with the rest, prints what it returns."""
    from mmgen.pipelines.factory import pipeline
    from mmgen.runtime import Runtime

    making = {p.name for p in described.parameters if p.stage == "make"}
    with Runtime() as rt:
        made = pipeline(described.name, runtime=rt, **{key: value for key, value in given.items() if key in making})
        try:
            result = made(**{key: value for key, value in given.items() if key not in making})
            if as_json:
                print_json(result)
            elif result is not None:
                typer.echo(str(result))
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                close()


def spread(params: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command whose `params` the command line gives as options, one a field."""
    options = [option(one) for one in signature.declared(params)]

    def decorated(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True)

        @wraps(function)
        def run(**given: Any) -> None:
            said = {one.name: given.pop(one.name) for one in options}
            function(**given, params=params(**{name: value for name, value in said.items() if value is not None}))

        every = [*(one for one in own.parameters.values() if one.name != "params"), *options]
        run.__signature__ = inspect.Signature([one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in every])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in every}
        return run

    return decorated


def shown(name: str, parameter: Parameter) -> bool:
    """Whether a command line can express it; if it must be given, it has to."""
    if parameter.name in RESERVED:
        raise PluginError(f'pipeline "{name}": parameter {parameter.name} hides an option of every command; rename it')
    if command_type(parameter.annotation) is not None:
        return True
    if parameter.required:
        raise PluginError(f'pipeline "{name}" cannot be a command: no argument can be a {parameter}; use it from Python')
    return False


def option(parameter: Parameter) -> inspect.Parameter:
    """For Typer; keyword-only, so that the order of defaults is free."""
    kind: Any = command_type(parameter.annotation)
    if parameter.required:
        info = typer.Argument(help=escape(parameter.help))
    else:
        default = list(parameter.default or ()) or None if get_origin(kind) is list else parameter.default
        info = typer.Option(default, *_names(parameter, kind), help=escape(parameter.help))
        kind = kind if default is not None else kind | None
    return inspect.Parameter(parameter.name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=kind)


def _names(parameter: Parameter, kind: Any) -> list[str]:
    long = "--" + parameter.name.replace("_", "-")
    if kind is bool:
        return [long if parameter.default is False else f"{long}/--no-{long[2:]}"]
    return [f"-{parameter.name}", long] if len(parameter.name) == 1 else [long]


def command_type(annotation: Any) -> Any:
    """The type that Typer reads from the command line, or None: the first of a union's that can be written there."""
    for kind in signature.alternatives(annotation):
        origin, inner = get_origin(kind), get_args(kind)
        if origin is Literal or (isinstance(kind, type) and issubclass(kind, bool | int | float | str | Path | Enum)):
            return kind
        if isinstance(origin, type) and issubclass(origin, Collection) and not issubclass(origin, Mapping):
            part = command_type(inner[0])
            if part is not None and get_origin(part) is not list:
                return GenericAlias(list, part)
    return None
