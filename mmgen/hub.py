"""Resolves a model reference to a local folder or GGUF file: embedded, a path, or a Hugging Face repo id. Opens no weights.

Offline first: cached files are used without network access. Only safetensors and GGUF are loaded, never pickles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmgen import embedded, gguf_files, hub_download, weight_files
from mmgen.errors import BadRequest, BadWeights, NotFound
from mmgen.hub_download import Repository

REPOSITORY = re.compile(r"([\w][\w.-]*/[\w][\w.-]*)(?:@([\w./-]+))?(?::([\w./-]+))?")

ADAPTERS = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
"""How diffusers and PEFT call a LoRA file."""


@dataclass(frozen=True)
class ModelEntry:
    """A model on this machine."""

    reference: str
    kind: str
    bytes: int  # of its safetensors
    licence: str
    path: Path
    summary: str


def resolve(reference: str, *, kind: str | None = None, variant: str = "") -> Path:
    """The folder of a model, or its GGUF file. `kind` ("encoder", "reader") refuses an embedded model of another kind.

    A GGUF file is its path, the folder of one, `repo-id:NAME.gguf` or `repo-id:Q4_K_M`. `variant`: such as fp16, of the
    repository's files those to have where there are some.

    Raises NotFound if there is no such model or the hub is out of reach, BadWeights if its files cannot be used.
    """
    if reference.startswith("embedded:"):
        return embedded.folder_of(reference, kind)
    local = _local(reference, kind)
    if local is not None:
        return local
    match = REPOSITORY.fullmatch(reference)
    if match is None or reference.startswith("~"):
        raise NotFound(
            f'model "{reference}" is no folder here and no repo id of the form org/name[@revision]{embedded.meant(reference)}'
        )
    where = Repository(match[1], match[2], match[3] or "")
    return _gguf_from_hub(where) if where.wanted else _from_hub(where, variant)


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


def _local(reference: str, kind: str | None) -> Path | None:
    """A folder, GGUF file or, of a model that draws, single file on this machine; None: there is none of that name."""
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
        if kind in ("denoiser", "control", "upscaler") and local.suffix == ".safetensors":
            return local
        if local.suffix in weight_files.PICKLES:
            new = local.with_suffix(".safetensors")
            command = weight_files.CONVERT.format(old=local, new=new)
            raise BadWeights(f"{local} is a pickle, which can run code when read; convert it: {command}")
        if local.suffix != gguf_files.SUFFIX:
            raise BadRequest(f"model {reference} is a file; give the folder that holds it and its config.json, or a .gguf file")
        gguf_files.parts(local)
        return local
    return None


def adapter(reference: str) -> Path:
    """The LoRA file of a repository, `org/name[@revision]` or `org/name:FILE.safetensors`; from the cache where it is there.

    Raises NotFound where there is none, BadRequest where there are several and none is the usual one.
    """
    match = REPOSITORY.fullmatch(reference)
    if match is None:
        raise NotFound(f"LoRA {reference} is no file here and no repo id of the form org/name[:FILE.safetensors]")
    where = Repository(match[1], match[2], match[3] or "")
    if (folder := where.snapshot) is not None:
        here = [path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")]
        if where.wanted in here or (not where.wanted and len(here) == 1):
            return folder / (where.wanted or here[0])
    files = hub_download.listed(where)
    chosen = _adapter_file(where, [name for name in files.sizes if name.endswith(".safetensors")])
    beside = (PurePosixPath(chosen).parent / "adapter_config.json").as_posix()
    return hub_download.fetch(where, [*([beside] if beside in files.sizes else []), chosen], files) / chosen


def _adapter_file(where: Repository, names: list[str]) -> str:
    if where.wanted:
        if where.wanted not in names:
            raise NotFound(f"LoRA {where} is not in {where.name}; it holds {', '.join(sorted(names)[:5]) or 'no safetensors'}")
        return where.wanted
    usual = [name for name in names if PurePosixPath(name).name in ADAPTERS]
    if len(names) == 1 or len(usual) == 1:
        return (usual or names)[0]
    if not names:
        raise NotFound(f"LoRA {where} holds no *.safetensors; take a repository of a LoRA")
    raise BadRequest(f"LoRA {where} holds {len(names)} files; name one, such as {where.name}:{sorted(names)[0]}")


def _gguf_from_hub(where: Repository) -> Path:
    """A GGUF file of a repository, from the cache where it is there."""
    if (cached := where.snapshot) is not None:
        try:
            if (found := gguf_files.in_folder(cached, where.wanted)) is not None and gguf_files.parts(found):
                return found
        except (NotFound, BadRequest, BadWeights):
            pass  # not in the cache, or not all of it
    files = hub_download.listed(where)
    names = [name for name in files.sizes if name.endswith(gguf_files.SUFFIX)]
    if not names:
        raise NotFound(f"model {where} has no *.gguf; leave out what stands behind the colon")
    chosen = gguf_files.pick(names, where.wanted, where.name, gguf_files.PREFERRED)
    return hub_download.fetch(where, gguf_files.part_names(chosen), files) / chosen


def _from_hub(where: Repository, variant: str = "") -> Path:
    """A model of a repository, from the cache where it is there; `variant`: of its files, where the hub is asked."""
    if (cached := _cached(where, variant)) is not None:
        return cached
    files = hub_download.listed(where)
    ends = {PurePosixPath(name).suffix for name in files.sizes}
    if ".safetensors" not in ends and gguf_files.SUFFIX in ends:
        return _gguf_from_hub(where)
    folder = hub_download.fetch_model(where, files, variant)
    weight_files.check(folder)
    return folder


def _cached(where: Repository, variant: str = "") -> Path | None:
    """A whole model in the cache."""
    folder = where.snapshot
    try:
        if folder is None or (variant and not any(f".{variant}" in path.name for path in weight_files.weights(folder))):
            return None
        if not weight_files.weights(folder) and (file := gguf_files.in_folder(folder)) is not None:
            return gguf_files.parts(file)[0]
        weight_files.check(folder)
    except (BadWeights, BadRequest):
        return None
    return folder


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in weight_files.weights(folder))


def _embedded_entries() -> Iterator[ModelEntry]:
    for model in embedded.EMBEDDED.values():
        try:
            folder = embedded.installed(model)
        except NotFound:
            continue
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
    if _scores_pairs(folder):
        return "cross-encoder"
    if _values(folder / "config.json").get("architecture") == "mmgen-reader":
        return "reader"
    return "encoder" if (folder / "modules.json").is_file() else "text"


def _scores_pairs(folder: Path) -> bool:
    """Whether its weights are a classifier of sequences, or what sentence-transformers saved as a cross-encoder."""
    config = _values(folder / "config.json")
    names = config.get("architectures")
    if isinstance(names, list) and names and str(names[0]).endswith("ForSequenceClassification"):
        return True
    saved = _values(folder / "config_sentence_transformers.json").get("model_type")
    return saved == "CrossEncoder" or config.get("architecture") == "mmgen-cross-encoder"


def _values(path: Path) -> dict[str, Any]:
    """Empty where the file is missing or no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
