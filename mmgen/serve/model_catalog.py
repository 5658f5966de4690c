"""The models that clients may name. Loads no weights.

A name is never a path: folders are served under their own name, or one that the operator gives, and nothing is downloaded
because a client named it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen import embedded, hub
from mmgen.errors import BadRequest, nearest
from mmgen.serve.errors import UnknownModel

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

PRECISIONS = ("fp32", "bf16", "fp16", "int8", "int4", "exact", "a8")
"""Precision suffixes, as in `embedded:minilm#int8`."""


@dataclass(frozen=True)
class ServedModel:
    """A model that clients may name."""

    id: str
    reference: str
    kind: str  # text, encoder, denoiser, reader, image encoder


class ModelCatalog:
    """The configured models, the operator's, the embedded ones and those in the Hugging Face cache."""

    def __init__(self, rt: Runtime, given: Sequence[str] = ()) -> None:
        """`given`: references, or NAME=REFERENCE. Raises NotFound for a missing model."""
        config = rt.config
        defaults = {
            "text": config.text, "encoder": config.encoder, "denoiser": config.denoiser, "reader": config.reader,
            "image encoder": config.image_encoder,
        }  # fmt: skip
        self.defaults = {kind: reference for kind, reference in defaults.items() if reference is not None}
        there = [(kind, reference) for kind, reference in self.defaults.items() if embedded.present(reference)]
        own = [ServedModel(name_of(reference), reference, kind) for kind, reference in there]
        self._own = {one.id: one for one in [*own, *map(_given, given)]}

    def served(self) -> list[ServedModel]:
        """All served models; scans the Hugging Face cache."""
        return list({one.id: one for one in [*_installed(), *self._own.values()]}.values())

    def add(self, model: ServedModel) -> None:
        """One that another engine serves."""
        self._own[model.id] = model

    def get(self, name: str) -> ServedModel:
        """Raises UnknownModel."""
        base, _, precision = name.partition("#")
        found = self._own.get(name) or self._own.get(base)
        if found is None:
            found = next((one for one in self.served() if one.id in (name, base)), None)
        if found is None or (found.id != name and precision not in PRECISIONS):
            hint = nearest(name[:100], [one.id for one in self.served()])
            raise UnknownModel(f'the model "{name[:100]}" is not served here{hint}; GET /v1/models names those that are')
        return found if found.id == name else ServedModel(name, f"{found.reference.partition('#')[0]}#{precision}", found.kind)

    def find(self, name: str | None, kind: str) -> str:
        """The reference of a model; None: the default. Raises UnknownModel, or BadRequest for one of another kind."""
        if name is None:
            return self.defaults[kind]
        found = self.get(name)
        if found.kind != kind:
            others = [one.id for one in self.served() if one.kind == kind]
            raise BadRequest(f"{name} is of kind {found.kind}, not {kind}; take {' or '.join(others[:5])}")
        return found.reference


def _installed() -> Iterator[ServedModel]:
    return (ServedModel(one.reference, one.reference, one.kind) for one in hub.models())


def _given(text: str) -> ServedModel:
    name, equals, reference = text.partition("=")
    reference = reference if equals else text
    folder = hub.resolve(reference.partition("#")[0])
    embedded = {one.reference: one.kind for one in hub.models()}
    kind = embedded.get(reference.partition("#")[0]) or hub.kind_of(folder)
    return ServedModel(name if equals else name_of(reference), reference, kind)


def name_of(reference: str) -> str:
    """The public name of a reference: a folder's or GGUF file's base name, without its path."""
    place, hash_, precision = reference.partition("#")
    local = Path(place).expanduser()
    if place.startswith("embedded:") or not local.exists():
        return reference
    return f"{local.resolve().name if local.is_dir() else local.stem}{hash_}{precision}"
