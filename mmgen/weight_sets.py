"""Which of a folder's files are one model's weights: whole or in shards, plain or a variant such as fp16. Opens none of them.

All of these spellings occur: model.safetensors, model-00001-of-00002.safetensors, model.fp16.safetensors,
model.fp16-00001-of-00002.safetensors, model-00001-of-00002.fp16.safetensors, consolidated.safetensors, with an index
model.safetensors.index.json, model.safetensors.index.fp16.json, model.fp16.safetensors.index.json, or without one.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmgen.errors import BadWeights

NAME = re.compile(
    r"(?P<stem>[^.]+?)(?:-(?P<n>\d+)-of-(?P<of>\d+))?(?:\.(?P<variant>[\w-]+?)(?:-(?P<n2>\d+)-of-(?P<of2>\d+))?)?\.safetensors"
)
INDEX = re.compile(r"(?P<stem>[^.]+)(?:\.(?P<before>[\w-]+))?\.safetensors\.index(?:\.(?P<after>[\w-]+))?\.json")
STEMS = ("model", "diffusion_pytorch_model", "pytorch_model", "consolidated")
"""How transformers, diffusers and Mistral call a file of weights; the first that is whole is read."""
VARIANTS = ("", "fp16", "bf16", "fp32")
"""Variants in the order in which they are taken; others follow by name."""
OTHER = re.compile(r"adapter|lora|optimizer|scheduler|random_states|training", re.IGNORECASE)
"""Files that are no model's weights."""


@dataclass(frozen=True)
class WeightSet:
    """The files that hold one model once."""

    stem: str
    variant: str = ""
    files: tuple[str, ...] = ()  # those that are there
    index: str = ""  # its file's name; "": there is none
    missing: tuple[str, ...] = ()  # files that it lacks

    @property
    def whole(self) -> bool:
        return bool(self.files) and not self.missing

    @property
    def plain(self) -> bool:
        """Whether transformers and diffusers find it without being told: no variant, and an index for shards."""
        single = self.files == (f"{self.stem}.safetensors",)
        return not self.variant and (single or self.index == f"{self.stem}.safetensors.index.json")


def sets(names: Iterable[str], indices: Mapping[str, Sequence[str]] | None = None) -> list[WeightSet]:
    """The sets among the names of one folder's files, the best first: whole ones, by stem, by variant.

    `indices`: an index's name -> the files that it names; where it is not known, shards are found by their numbers.
    """
    names, indices = set(names), indices or {}
    numbered: defaultdict[tuple[str, str, int], dict[int, str]] = defaultdict(dict)  # stem, variant, of so many -> files
    for name in sorted(names):
        if found := NAME.fullmatch(name):
            variant = "" if found["variant"] == "safetensors" else found["variant"] or ""
            key = found["stem"], variant, int(found["of"] or found["of2"] or 0)
            numbered[key][int(found["n"] or found["n2"] or 1)] = name
    out = []
    for name in sorted(names):
        if found := INDEX.fullmatch(name):
            stem, variant = found["stem"], found["before"] or found["after"] or ""
            keys = [key for key in numbered if key[:2] == (stem, variant) and key[2]]
            told = indices.get(name) or [one for key in keys for one in _all(numbered[key], key[2])]
            out.append(_set(stem, variant, told, names, name))
            for key in list(numbered):
                if set(numbered[key].values()) & set(told):
                    del numbered[key]
    out += [_set(stem, variant, _all(files, of), names) for (stem, variant, of), files in numbered.items()]
    return sorted(out, key=_rank)


def _all(files: Mapping[int, str], of: int) -> list[str]:
    """The names of all shards, from those of some."""
    known = next(iter(files.values()))
    number = re.search(r"(?<=-)\d+(?=-of-)", known)
    if number is None:
        return [known]
    start, end, digits = known[: number.start()], known[number.end() :], len(number[0])
    return [files.get(n, f"{start}{n:0{digits}}{end}") for n in range(1, of + 1)]


def _set(stem: str, variant: str, files: Sequence[str], there: set[str], index: str = "") -> WeightSet:
    lacking = tuple(sorted({name for name in files if name not in there}))
    return WeightSet(stem, variant, tuple(sorted({name for name in files if name in there})), index, lacking)


def _rank(one: WeightSet) -> tuple[bool, int, int, str, bool]:
    stem = STEMS.index(one.stem) if one.stem in STEMS else len(STEMS)
    variant = VARIANTS.index(one.variant) if one.variant in VARIANTS else len(VARIANTS)
    return not one.whole, stem, variant, one.variant, len(one.files) > 1


def best(found: Sequence[WeightSet], stem: str = "", variant: str | None = None) -> WeightSet | None:
    """The set to read: of that stem, or of a usual one, or of the only one there is. It may lack files."""
    kept = [one for one in found if not OTHER.search(one.stem) and variant in (None, one.variant)]
    if stem:
        return next((one for one in kept if one.stem == stem), None)
    usual = [one for one in kept if one.stem in STEMS]
    return usual[0] if usual else kept[0] if len({one.stem for one in kept}) == 1 else None


def is_weights(name: str) -> bool:
    """Whether a file's name is of weights or of their index."""
    return NAME.fullmatch(name) is not None or INDEX.fullmatch(name) is not None


def in_folder(folder: Path, stem: str = "") -> WeightSet | None:
    """The set to read of a folder; None where no file is a model's. Raises BadWeights for a damaged index."""
    names = [path.name for path in folder.glob("*") if path.suffix in (".safetensors", ".json")]
    indices = {name: shards(folder / name) for name in names if INDEX.fullmatch(name)}
    return best(sets(names, indices), stem)


def shards(index: Path) -> list[str]:
    """The files that an index names. Raises BadWeights where it is damaged."""
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise BadWeights(f"{index} is damaged; copy or download it again") from None
