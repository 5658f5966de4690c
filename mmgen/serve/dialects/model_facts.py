"""What a model's files say of it before it is loaded: architecture, parameters, precision, context length. Torch-free."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mmgen import gguf_files, weight_files
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import gguf_header
from mmgen.models.checkpoints.gguf_header import Cut

LONGEST = 100_000_000
"""Bytes of a header, as safetensors itself bounds it."""


@dataclass(frozen=True)
class ModelFacts:
    """Empty or 0: the files don't say."""

    family: str = ""
    parameters: int = 0
    precision: str = ""  # as the files hold most of it: Q4_1, F16
    context: int = 0  # tokens

    @property
    def size(self) -> str:
        """As Ollama writes it: 134.52M, 7.2B."""
        units = ((1e9, "B", 1), (1e6, "M", 2), (1, "", 0))
        return next(
            (f"{self.parameters / unit:.{digits}f}{name}" for unit, name, digits in units if self.parameters >= unit), ""
        )


def of(folder: Path) -> ModelFacts:
    """Reads headers alone; a second call reads nothing, unless weights have changed. Files that cannot be read say nothing."""
    files = weight_files.used(folder)
    return _of(folder, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(256)
def _of(folder: Path, files: tuple[tuple[Path, int], ...]) -> ModelFacts:
    paths = [path for path, _ in files]
    file = next((path for path in paths if path.suffix == gguf_files.SUFFIX), None)
    try:
        return _gguf(file) if file is not None else _safetensors(folder, paths)
    except (BadWeights, Cut, OSError, ValueError):  # told where it is loaded
        return ModelFacts()


def _gguf(path: Path) -> ModelFacts:
    from gguf import GGMLQuantizationType, LlamaFileType

    values, kinds = dict[str, Any](), Counter[int]()
    for part in gguf_files.parts(path):
        cursor = gguf_header.Cursor(np.memmap(part, np.uint8, "r"))
        count, entries = gguf_header.begun(part, cursor)
        metadata, _ = gguf_header.metadata(cursor, entries)
        values = values or metadata
        for _, number, shape, _ in (gguf_header.tensor(part, cursor) for _ in range(count)):
            kinds[number] += math.prod(shape)
    family = str(values.get("general.architecture", ""))
    if (said := values.get("general.file_type")) is not None:
        precision = LlamaFileType(said).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    else:
        precision = GGMLQuantizationType(kinds.most_common(1)[0][0]).name if kinds else ""
    return ModelFacts(family, kinds.total(), precision, int(values.get(f"{family}.context_length", 0)))


def _safetensors(folder: Path, paths: list[Path]) -> ModelFacts:
    values = config(folder)
    text = values.get("text_config", values)  # of a model that sees, its language model
    context = text.get("max_position_embeddings", text.get("n_positions", 0)) if isinstance(text, dict) else 0
    family, context = str(values.get("model_type", "")), context if isinstance(context, int) else 0
    if "quantization_config" in values:
        method = values["quantization_config"]
        return ModelFacts(family, 0, str(method.get("quant_method", "")) if isinstance(method, dict) else "", context)
    kinds: Counter[str] = Counter()
    for path in paths:
        for tensor in _header(path).values():
            kinds[str(tensor["dtype"])] += math.prod(tensor["shape"])
    return ModelFacts(family, kinds.total(), kinds.most_common(1)[0][0] if kinds else "", context)


def config(folder: Path) -> Mapping[str, Any]:
    """config.json; empty where there is none."""
    path = folder / "config.json"
    if not path.is_file():
        return {}
    values = json.loads(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > LONGEST:
            raise ValueError(f"{path} is no safetensors file")
        header = json.loads(file.read(length))
    return {name: one for name, one in header.items() if name != "__metadata__"}
