"""Which files of a repository are fetched: configuration, tokenizers, and one model's weights once. Names only; no network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from mmgen import weight_sets
from mmgen.weight_files import UNREAD

SMALL = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""Ends of the names of configurations, chat templates and tokenizers; a version may stand behind, as in `.model.v3`."""
SKIPPED = frozenset({
    "onnx", "openvino", "coreml", "tflite", "tensorrt", "flax", "tf", "original", "gguf", "runs", "logs", "assets", "images",
    "docs",
})  # fmt: skip
"""Folders with copies for other programs."""
SEPARATE = ("open_clip_model", "adapter_model")
"""Stems of files that are read beside the model's own, where a repository has what tells of them."""


def small(names: Iterable[str]) -> list[str]:
    """What is fetched before any weights, to tell from it which are wanted."""
    return sorted(name for name in names if _is_small(name) and _depth(name) < 3 and not _skipped(name))


def weights(names: Iterable[str], index: Mapping[str, Any] | None = None, variant: str = "") -> list[str]:
    """The weights of one model: each part's in one variant and one spelling.

    Args:
        names: of all files.
        index: model_index.json, where there is one; its parts are fetched, and what stands beside them is not.
        variant: such as fp16, for the parts that have it.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if _depth(name) < 3 and not _skipped(name):
            folders[str(PurePosixPath(name).parent)].append(PurePosixPath(name).name)
    if index is not None:
        parts = [part for part, told in index.items() if isinstance(told, list) and told[0] and part not in UNREAD]
    else:
        parts = ["."] if _chosen(folders["."], variant) else []
        if not parts or "modules.json" in folders["."]:  # sentence-transformers: layers behind the model have their own
            parts += sorted(set(folders) - {"."})
    return sorted(str(PurePosixPath(part) / name) for part in parts for name in _chosen(folders.get(part, []), variant) if name)


def _chosen(names: list[str], variant: str) -> list[str]:
    """The weights of one folder, with their index."""
    found = weight_sets.sets(names)
    chosen = weight_sets.best(found, variant=variant) or weight_sets.best(found)
    if chosen is None or not chosen.files:  # of several models, or shards of names that only the index tells
        return [name for name in names if weight_sets.is_weights(name) or name.endswith(".safetensors")]
    beside = [f"{stem}.safetensors" for stem in SEPARATE if f"{stem}.safetensors" in names and stem != chosen.stem]
    return [*chosen.files, *([chosen.index] if chosen.index else []), *beside]


def _is_small(name: str) -> bool:
    last = PurePosixPath(name).name
    ends = last.endswith(SMALL) or ".model.v" in last
    return ends and not weight_sets.is_weights(last)


def _depth(name: str) -> int:
    return len(PurePosixPath(name).parts)


def _skipped(name: str) -> bool:
    first = name.partition("/")[0].lower()
    return "/" in name and (first in SKIPPED or first.startswith((".", "checkpoint-")) or first.endswith("onnx"))
