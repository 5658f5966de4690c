"""`mmgen.pipeline(name)`: a registered pipeline, bound to a runtime."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from mmgen import deprecated
from mmgen.errors import BadRequest, nearest
from mmgen.pipelines import signature
from mmgen.runtime import Runtime


def pipeline(name: str, /, *, runtime: Runtime | None = None, **options: Any) -> Any:
    """The pipeline of that name, ready to be called.

    Args:
        name: as `mmgen pipelines` lists it.
        runtime: whose models and engine it uses; by default this process's own, `Runtime.shared()`.
        options: the constructor's options where the pipeline is a class, such as `store` of rag-text; where it is a
            function, arguments that hold for every call.

    Raises:
        NotFound: no such pipeline, with the nearest name.
        BadRequest: no such option, with the nearest one.
        PluginError: the pipeline cannot be imported.
    """
    rt = runtime or Runtime.shared()
    made: Any = rt.registry.pipelines.get(name)
    options = deprecated.renamed(options, signature.old_names(made), f"{name}: ")
    check(name, made, options)
    bound = partial(made, rt, **options)
    if inspect.isclass(made):
        return bound()
    bound.__doc__ = made.__doc__
    return bound


def check(name: str, made: Any, options: dict[str, Any]) -> None:
    """Raises BadRequest for an option that the pipeline cannot be made with."""
    stage = "make" if inspect.isclass(made) else "call"
    taken = made.__init__ if inspect.isclass(made) else made
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(taken).parameters.values()):
        return
    known = [parameter.name for parameter in signature.read(name, made).parameters if parameter.stage == stage]
    for option in options:
        if option not in known:
            hint = nearest(option, known) or f" (known: {', '.join(known) or 'none'})"
            raise BadRequest(f'{name} has no option "{option}"{hint}')
