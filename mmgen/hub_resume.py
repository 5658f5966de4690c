"""Large files of a repository, byte after byte into the Hugging Face cache: what was interrupted goes on where it stopped.

huggingface_hub itself begins a file anew. Small files, and what it links, are its own to fetch (hub_download.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from mmgen import weight_files
from mmgen.errors import BadWeights

DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST = 50e9
"""Bytes; the hub gives larger files to its own protocol alone."""


def fetch(repository: str, commit: str, name: str, cache: Path) -> bool:
    """A file's content to where the cache keeps it; False where that is for huggingface_hub to do: it is small, or too large.

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
