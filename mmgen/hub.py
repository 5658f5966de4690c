"""Resolves a model reference to a local folder or GGUF file: embedded, a path, or a Hugging Face repo id. Opens no weights.

Offline first: cached files are used without network access. Only safetensors and GGUF are loaded, never pickles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmgen import embedded, gguf_files, weight_files
from mmgen.errors import BadRequest, BadWeights, MmgenError, NotFound
from mmgen.registry import one_line

WANTED = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]
"""File patterns to download: weights, configuration, tokenizers (`*.model`: sentencepiece)."""
REPOSITORY = re.compile(r"([\w][\w.-]*/[\w][\w.-]*)(?:@([\w./-]+))?(?::([\w./-]+))?")


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
    """The folder of a model, or its GGUF file. `kind` ("encoder", "reader") refuses an embedded model of another kind.

    A GGUF file is its path, the folder of one, `repo-id:NAME.gguf` or `repo-id:Q4_K_M`.

    Raises NotFound if there is no such model or the hub is out of reach, BadWeights if its files cannot be used.
    """
    if reference.startswith("embedded:"):
        return embedded.folder_of(reference, kind)
    local = _local(reference)
    if local is not None:
        return local
    match = REPOSITORY.fullmatch(reference)
    if match is None or reference.startswith("~"):
        raise NotFound(
            f'model "{reference}" is no folder here and no repo id of the form org/name[@revision]{embedded.meant(reference)}'
        )
    return _from_hub(match[1], match[2]) if match[3] is None else _gguf_from_hub(match[1], match[2], match[3])


def models() -> list[ModelEntry]:
    """The embedded models that are installed, then what the Hugging Face cache holds. Uses no network."""
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
        except Exception:  # the HTTP library may raise anything
            return
        answered.append(True)

    thread = Thread(target=ask, daemon=True)  # a DNS lookup can block for longer than the timeout
    thread.start()
    thread.join(timeout)
    return bool(answered)


def _local(reference: str) -> Path | None:
    """A folder or GGUF file on this machine; None: there is none of that name."""
    local, wanted = Path(reference).expanduser(), ""
    if not local.exists() and ":" in reference:
        before, _, wanted = reference.rpartition(":")
        local = Path(before).expanduser()
        wanted = wanted if local.is_dir() else ""
    if local.is_dir():
        if (wanted or not weight_files.weights(local)) and (found := gguf_files.in_folder(local, wanted)) is not None:
            gguf_files.parts(found)
            return found
        if wanted:
            raise NotFound(f"{local} holds no *.gguf; give a GGUF model's folder")
        weight_files.check(local)
        return local
    if local.is_file():
        if local.suffix != gguf_files.SUFFIX:
            raise BadRequest(f"model {reference} is a file; give the folder that holds it and its config.json, or a .gguf file")
        gguf_files.parts(local)
        return local
    return None


def _gguf_from_hub(repository: str, revision: str | None, wanted: str) -> Path:
    """A GGUF file of a repository, from the cache where it is there. `wanted`: see `gguf_files.pick`."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    name = f"{repository}@{revision}" if revision else repository
    try:
        cached = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        if (found := gguf_files.in_folder(cached, wanted)) is not None and gguf_files.parts(found):
            return found
    except (LocalEntryNotFoundError, NotFound, BadRequest, BadWeights):
        pass  # not in the cache, or not all of it
    if not reachable():
        raise _refusal(f"{name}:{wanted}", LocalEntryNotFoundError("offline"))
    try:
        names = [path for path in HfApi().list_repo_files(repository, revision=revision) if path.endswith(gguf_files.SUFFIX)]
        if not names:
            raise NotFound(f"model {name} has no *.gguf; leave out :{wanted}")
        chosen = gguf_files.pick(names, wanted, name, gguf_files.PREFERRED)
        parts = gguf_files.part_names(chosen)
        return Path(snapshot_download(repository, revision=revision, allow_patterns=parts)) / chosen
    except MmgenError:
        raise
    except Exception as why:  # the hub's own errors, and those of the HTTP library it happens to use
        raise _refusal(f"{name}:{wanted}", why) from why


def _from_hub(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    def fetch(offline: bool) -> Path:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=WANTED, local_files_only=offline))

    try:
        folder = fetch(offline=True)
        if not weight_files.weights(folder) and (file := gguf_files.in_folder(folder)) is not None:
            return gguf_files.parts(file)[0]
        weight_files.check(folder)
        return folder
    except (LocalEntryNotFoundError, BadWeights, BadRequest):
        pass  # not in the cache, or not all of it
    except HFValidationError as why:
        raise NotFound(f'model "{repository}" is no repo id ({one_line(why)}); the form is org/name') from None
    try:
        folder = fetch(offline=False)
    except Exception as why:  # the hub's own errors, and those of the HTTP library it happens to use
        raise _refusal(f"{repository}@{revision}" if revision else repository, why) from why
    if not weight_files.weights(folder) and _has_gguf(repository, revision):
        return _gguf_from_hub(repository, revision, "")
    weight_files.check(folder)
    return folder


def _has_gguf(repository: str, revision: str | None) -> bool:
    from huggingface_hub import HfApi

    try:
        return any(path.endswith(gguf_files.SUFFIX) for path in HfApi().list_repo_files(repository, revision=revision))
    except Exception as why:
        raise _refusal(f"{repository}@{revision}" if revision else repository, why) from why


def _refusal(name: str, why: Exception) -> NotFound:
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(why, RevisionNotFoundError):
        return NotFound(f"model {name} exists, but not in this revision; look at its branches and tags")
    if isinstance(why, RepositoryNotFoundError):  # a GatedRepoError is one too
        return NotFound(f"model {name} does not exist, is private, or asks you to accept terms; try `hf auth login`")
    if isinstance(why, LocalEntryNotFoundError):
        return NotFound(
            f"model {name} is not in the cache and the hub cannot be reached; connect once, give a local folder, "
            f"or take an embedded model ({', '.join(embedded.EMBEDDED)})"
        )
    return NotFound(f"model {name} could not be downloaded ({one_line(why)[:200]}); try again later")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in weight_files.weights(folder))


def _embedded_entries() -> Iterator[ModelEntry]:
    for model in embedded.EMBEDDED.values():
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
        reference = repository.name.removeprefix("models--").replace("--", "/", 1)
        for file in _gguf_models(folder) if main.is_file() else ():
            where = f"{reference}:{file.relative_to(folder).as_posix()}"
            yield ModelEntry(where, "text", _size(file), "see its card", file, "in the Hugging Face cache")
        if main.is_file() and weight_files.weights(folder):
            yield ModelEntry(reference, kind_of(folder), _size(folder), "see its card", folder, "in the Hugging Face cache")


def _gguf_models(folder: Path) -> list[Path]:
    """First parts of all GGUF files that are there whole."""
    firsts = {path.with_name(gguf_files.part_names(path.name)[0]) for path in gguf_files.everywhere(folder)}
    return [path for path in sorted(firsts) if all(path.with_name(one).is_file() for one in gguf_files.part_names(path.name))]


def kind_of(folder: Path) -> str:
    """The kind of a model's folder or file, by its configuration files."""
    if (folder / "model_index.json").is_file():
        return "denoiser"
    return "encoder" if (folder / "modules.json").is_file() else "text"
