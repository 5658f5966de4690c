"""What the Hugging Face cache holds, the space that it takes, and its removal; never a folder of the user's own."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmgen import embedded, gguf_files
from mmgen.errors import BadRequest, NotFound
from mmgen.hub_download import Repository

PARTIAL = ".incomplete"
"""The end of the name of what a download has of a file so far."""
REPOSITORY = re.compile(r"([\w][\w.-]*/[\w][\w.-]*)(?::([\w./-]+))?")


@dataclass(frozen=True)
class DiskUse:
    """A model that was downloaded."""

    reference: str
    bytes: int  # of all its files, in all variants and revisions
    partial: int  # bytes of files that are not whole: the next pull goes on from there
    path: Path


def usage() -> list[DiskUse]:
    """What was downloaded, the largest first."""
    pulled = [model for model in embedded.EMBEDDED.values() if model.place.startswith("home:") and model.folder.is_dir()]
    found = [_use(model.reference, model.folder) for model in pulled]
    found += [_use(repository.name, repository.folder) for repository in _repositories()]
    return sorted(found, key=lambda one: (-one.bytes - one.partial, one.reference))


def find(reference: str) -> tuple[DiskUse, list[Path]]:
    """What of a reference can be removed: its size, and the files and folders.

    Raises BadRequest for what comes with the installation and for a folder of the user's own, NotFound where nothing is there.
    """
    if reference.startswith("embedded:"):
        model = embedded.EMBEDDED.get(reference)
        if model is not None and not model.place.startswith("home:"):
            raise BadRequest(f"{reference} comes with the installation and cannot be removed alone")
        if model is None or not model.folder.is_dir():
            raise NotFound(f"{reference} is not on this machine")
        return _use(reference, model.folder), [model.folder]
    if Path(reference).expanduser().exists():
        raise BadRequest(f"{reference} is a file or folder of your own, not a download; remove it with your own tools")
    match = REPOSITORY.fullmatch(reference)
    repository = Repository(match[1]) if match else None
    if match is None or repository is None or not repository.folder.is_dir():
        raise NotFound(f'"{reference}" was not downloaded; `mmgen models --size` names what was')
    if match[2]:
        return _gguf(repository, match[2])
    locks = repository.folder.parent / ".locks" / repository.folder.name
    return _use(reference, repository.folder), [repository.folder, *([locks] if locks.is_dir() else [])]


def remove(paths: list[Path]) -> None:
    """Raises NotFound where one cannot be removed."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as why:
            raise NotFound(f"{path} cannot be removed ({why.strerror}); check its rights") from None


def _gguf(repository: Repository, wanted: str) -> tuple[DiskUse, list[Path]]:
    """One GGUF file of a repository: its links, and its content where no other file has the same."""
    folder = repository.snapshot
    file = gguf_files.in_folder(folder, wanted) if folder is not None else None
    if folder is None or file is None:
        raise NotFound(f"{repository} has no GGUF file {wanted} on this machine; `mmgen models` names those that are there")
    links = [path for path in gguf_files.parts(file) if path.exists()]
    others = {path.resolve() for path in folder.rglob("*") if path not in links}
    blobs = {path.resolve() for path in links} - others
    size = sum(path.stat().st_size for path in blobs)
    return DiskUse(f"{repository}:{file.name}", size, 0, file), [*links, *sorted(blobs - set(links))]


def _repositories() -> Iterator[Repository]:
    from huggingface_hub import constants

    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        yield Repository(folder.name.removeprefix("models--").replace("--", "/", 1))


def _use(reference: str, folder: Path) -> DiskUse:
    files = {path.resolve(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}  # links count once
    partial = sum(size for path, size in files.items() if path.name.endswith(PARTIAL))
    return DiskUse(reference, sum(files.values()) - partial, partial, folder)
