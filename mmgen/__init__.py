"""mmgen: multimodal generation with diffusion and RAG, all models on one device under one shared scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmgen import deprecated

if TYPE_CHECKING:
    from mmgen.pipelines.factory import pipeline as pipeline
    from mmgen.runtime import Runtime as Runtime

    __version__: str

__all__ = ["Runtime", "__version__", "pipeline"]

deprecated.install()

_HOMES = {"pipeline": "mmgen.pipelines.factory", "Runtime": "mmgen.runtime"}


def __getattr__(name: str) -> Any:
    """Imports a public name on its first use, so that `import mmgen` stays light."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("mmgen")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
