"""Fetches a repository's files into the Hugging Face cache: only those that are read, whole, and with the right digests.

What is interrupted goes on where it stopped, and nothing that is not whole is taken for a model.
"""

from __future__ import annotations

import errno
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mmgen import embedded, hub_plan, weight_files
from mmgen.errors import BadWeights, MmgenError, NotFound, TooLarge
from mmgen.registry import one_line

ROOM = 1e8
"""Bytes that stay free on the disk."""
LARGE = 1e6
"""Bytes from which on a file is fetched so that it can be resumed, and its digest is checked."""
LARGEST = 50e9
"""Bytes; the hub gives larger files to its own protocol alone."""
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFiles:
    """What a repository holds in one state of it."""

    commit: str
    sizes: Mapping[str, int]  # name -> bytes


@dataclass(frozen=True)
class Repository:
    """A repository of the hub, and which state of it."""

    name: str
    revision: str | None = None  # a branch, a tag or a commit; None: the main branch
    wanted: str = ""  # which of its GGUF files

    def __str__(self) -> str:
        revision, wanted = (f"{mark}{one}" if one else "" for mark, one in (("@", self.revision), (":", self.wanted)))
        return f"{self.name}{revision}{wanted}"

    @property
    def folder(self) -> Path:
        """Where the cache keeps it."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"models--{self.name.replace('/', '--')}"

    @property
    def snapshot(self) -> Path | None:
        """Its files on this machine, not necessarily all of them; None: there are none."""
        told = self.revision or "main"
        reference = self.folder / "refs" / told
        commit = reference.read_text().strip() if reference.is_file() else told
        found = self.folder / "snapshots" / commit
        return found if commit and found.is_dir() else None


def listed(repository: Repository) -> RemoteFiles:
    """Its files. Raises NotFound where there is no such repository, or the hub is out of reach."""
    from huggingface_hub import HfApi

    with _told(repository):
        found = HfApi().model_info(repository.name, revision=repository.revision, files_metadata=True, timeout=20)
    return RemoteFiles(found.sha or "main", {one.rfilename: one.size or 0 for one in found.siblings or ()})


def fetch_model(repository: Repository, files: RemoteFiles, variant: str = "") -> Path:
    """What a model needs, its weights last: the folder. `variant`: such as fp16, for the parts that have it.

    Raises NotFound, TooLarge where the disk is full, BadWeights where what came is not what the hub has.
    """
    folder = fetch(repository, hub_plan.small(files.sizes), files)
    wanted = hub_plan.weights(files.sizes, weight_files.model_index(folder), variant)
    return fetch(repository, wanted, files) if wanted else folder


def fetch(repository: Repository, names: Sequence[str], files: RemoteFiles) -> Path:
    """These of a repository's files into the cache, unless they are there: the folder."""
    from huggingface_hub import constants, snapshot_download

    before = repository.snapshot
    if before is not None and before.name != files.commit:
        before = None
    fresh = [name for name in names if before is None or not (before / name).exists()]
    if before is not None and not fresh:
        return before
    _make_room(repository, sum(files.sizes[name] for name in fresh))
    with _told(repository), _bars():
        for name in fresh:
            if files.sizes[name] >= LARGE:
                _resume(repository.name, files.commit, name, Path(constants.HF_HUB_CACHE))
        patterns = [re.sub(r"([*?[])", r"[\1]", name) for name in names]
        return Path(snapshot_download(repository.name, revision=repository.revision, allow_patterns=patterns))


def _resume(repository: str, commit: str, name: str, cache: Path) -> bool:
    """A large file's content to where the cache keeps it, from where it stopped; huggingface_hub itself begins anew.

    False where it is for huggingface_hub to fetch: not kept by its sha256, or too large.

    Raises BadWeights where its sha256 is not the hub's (nothing of it is kept), and whatever the hub's library raises.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    url, headers = hf_hub_url(repository, name, revision=commit), build_hf_headers()
    about = get_hf_file_metadata(url, headers=headers)
    if not about.etag or not DIGEST.fullmatch(about.etag) or not about.size or about.size > LARGEST:
        return False
    if urlsplit(about.location).netloc != urlsplit(url).netloc:  # a signed address of somebody else's
        headers = {key: value for key, value in headers.items() if key.lower() != "authorization"}
    folder = f"models--{repository.replace('/', '--')}"
    blob, lock = cache / folder / "blobs" / about.etag, cache / ".locks" / folder / f"{about.etag}.lock"
    for place in (blob, lock):
        place.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return True
        partial = blob.with_name(f"{about.etag}.incomplete")
        have = partial.stat().st_size if partial.is_file() else 0
        if have > about.size:
            partial.unlink()
            have = 0
        with partial.open("ab") as file:
            http_get(about.location, file, resume_size=have, headers=headers, expected_size=about.size, displayed_filename=name)
        if (found := weight_files.sha256(partial)) != about.etag:
            partial.unlink()
            told = f"{name} arrived with sha256 {found[:12]}..., expected {about.etag[:12]}..."
            raise BadWeights(f"model {repository}: {told}; nothing of it was kept, try again")
        partial.replace(blob)
    return True


def _make_room(repository: Repository, count: int) -> None:
    place = next(path for path in (repository.folder, *repository.folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if count and count + ROOM > free:
        raise TooLarge(
            f"model {repository} needs {count / 1e9:.1f} GB in {repository.folder.parent}, {free / 1e9:.1f} GB are free; "
            "make room, or set HF_HOME to another disk"
        )


@contextmanager
def _bars() -> Iterator[None]:
    """Progress bars where somebody sees them."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hidden = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if hidden:
        disable_progress_bars()
    try:
        yield
    finally:
        if hidden:
            enable_progress_bars()


@contextmanager
def _told(repository: Repository) -> Iterator[None]:
    """Whatever the hub's library raises, and the HTTP library that it uses, in one line."""
    try:
        yield
    except MmgenError:
        raise
    except Exception as why:
        raise refusal(str(repository), why) from why


def refusal(name: str, why: Exception) -> MmgenError:
    """What to tell of a model that could not be had."""
    from huggingface_hub.errors import (
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(why, HFValidationError):
        return NotFound(f'model "{name}" is no repo id ({one_line(why)}); the form is org/name')
    if isinstance(why, RevisionNotFoundError):
        return NotFound(f"model {name} exists, but not in this revision; look at its branches and tags")
    if isinstance(why, RepositoryNotFoundError):  # a GatedRepoError is one too
        return NotFound(f"model {name} does not exist, is private, or asks you to accept terms; try `hf auth login`")
    if isinstance(why, OSError) and why.errno in (errno.ENOSPC, errno.EDQUOT):
        return TooLarge(
            f"model {name} does not fit on the disk of the Hugging Face cache; make room, or set HF_HOME, and try again"
        )
    if isinstance(why, (LocalEntryNotFoundError, OfflineModeIsEnabled)) or _unreachable(why):
        return NotFound(
            f"model {name} is not in the cache and the hub cannot be reached; connect once, give a local folder, "
            f"or take an embedded model ({', '.join(embedded.EMBEDDED)})"
        )
    return NotFound(f"model {name} could not be downloaded ({one_line(why)[:200]}); what came is kept, try again to go on")


def _unreachable(why: BaseException) -> bool:
    """Of httpx, whatever it is called in this version of the hub's library."""
    return type(why).__name__ in ("ConnectError", "ConnectTimeout", "ConnectionError")
