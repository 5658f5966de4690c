"""GGUF files by name: which of a folder or a repository is meant, and the parts of one that was split. Opens none of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mmgen.errors import BadRequest, BadWeights, NotFound

SUFFIX = ".gguf"
PREFERRED = "Q4_K_M"
"""Of several in a repository, where nobody says which; llama.cpp takes it too."""
PART = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
PROJECTOR = re.compile(r"mmproj", re.IGNORECASE)
"""In the names of files that hold no language model but what turns images into its vectors."""


def parts(path: Path) -> list[Path]:
    """All parts of a file split as in NAME-00001-of-00003.gguf, or the file alone. Raises BadWeights where one is missing."""
    found = [path.with_name(name) for name in part_names(path.name)]
    if len(found) > 1 and (missing := [part.name for part in found if not part.is_file()]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadWeights(f"{path.parent} lacks {missing[0]}{more}, of {len(found)} parts; copy or download it again")
    return found


def part_names(name: str) -> list[str]:
    """The names of all parts of a file; its folder may be in front of the name."""
    match = PART.fullmatch(name)
    if match is None:
        return [name]
    return [f"{match[1]}-{number:05}-of-{match[3]}.gguf" for number in range(1, int(match[3]) + 1)]


def in_folder(folder: Path, wanted: str = "") -> Path | None:
    """The file that is meant: by its name, by how it is quantized as in Q4_K_M, or the only one. None: there are none.

    Raises BadRequest or NotFound where that is not clear.
    """
    names = [path.relative_to(folder).as_posix() for path in everywhere(folder)]
    return folder / pick(names, wanted, str(folder)) if names else None


def everywhere(folder: Path) -> list[Path]:
    """All GGUF files of a folder and of its subfolders, as large models have one for each way of quantizing."""
    return sorted(path for pattern in (f"*{SUFFIX}", f"*/*{SUFFIX}") for path in folder.glob(pattern))


def pick(names: Iterable[str], wanted: str, where: str, preferred: str = "") -> str:
    """One of these file names; of a split file its first part.

    Args:
        wanted: a name, with or without .gguf, or how the file is quantized; "": the only one.
        where: the folder or repository, for messages.
        preferred: how the file is to be quantized where nothing is wanted and there are several.

    Raises NotFound where none is meant, BadRequest where several are.
    """
    models = [name for name in names if not PROJECTOR.search(name)]
    models = sorted({part_names(name)[0] for name in models})
    listed = ", ".join(Path(name).name for name in models)
    if not wanted:
        found = models if len(models) == 1 else [name for name in models if preferred and _quantized(name, preferred)]
    else:
        found = [name for name in models if wanted in _spellings(name)] or [name for name in models if _quantized(name, wanted)]
    if len(found) == 1:
        return found[0]
    if wanted and not found:
        raise NotFound(f"{where} has no GGUF file {wanted}; there are {listed}")
    raise BadRequest(f"{where} holds {len(models)} GGUF models; say which, as in {where}:{Path(models[0]).name} ({listed})")


def _spellings(name: str) -> set[str]:
    short = Path(name).name
    return {name, short, name.removesuffix(SUFFIX), short.removesuffix(SUFFIX)}


def _quantized(name: str, how: str) -> bool:
    return re.search(rf"(^|[-./]){re.escape(how)}([-./]|$)", name, re.IGNORECASE) is not None
