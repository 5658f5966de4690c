"""The software bill of materials of an installed mmgen, in CycloneDX JSON, and a check of the licences of what it needs.

    python deploy/sbom.py > sbom.json
    python deploy/sbom.py --check          one line for each package whose licence is not on the list; exit code 1
    python deploy/sbom.py --extra ocr      with an extra's packages

The same environment gives the same bytes; SOURCE_DATE_EPOCH, where it is set, gives the date.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python",
    "HPND",
    "ISC", "MIT",
    "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib", "bzip2-1.0.6",
    "LGPL-2.1-or-later",  # as libraries that anybody can replace
    "LGPL-3.0-or-later", "LGPL-3.0-only",
})  # fmt: skip
"""SPDX identifiers. Nothing that would bind who uses mmgen to publish their own work."""

CLASSIFIERS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
    "The Unlicense (Unlicense)": "Unlicense",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "zlib/libpng License": "Zlib",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.1-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.1-or-later",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
}
"""Last part of a licence's classifier -> SPDX."""

WORDS = {
    "mit": "MIT", "mit license": "MIT", "the mit license": "MIT", "apache": "Apache-2.0", "apache 2.0": "Apache-2.0",
    "apache 2": "Apache-2.0", "apache-2": "Apache-2.0", "apache license": "Apache-2.0", "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0", "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0", "apache 2.0 license": "Apache-2.0",
    "bsd": "BSD-3-Clause", "bsd license": "BSD-3-Clause", "new bsd": "BSD-3-Clause", "bsd 3-clause": "BSD-3-Clause",
    "bsd-3": "BSD-3-Clause", "3-clause bsd license": "BSD-3-Clause", "bsd 3-clause license": "BSD-3-Clause", "psf": "PSF-2.0",
    "lgpl": "LGPL-2.1-or-later",
}  # fmt: skip
"""What old metadata says in the field License -> SPDX."""


KNOWN = {"pypdfium2": "BSD-3-Clause OR Apache-2.0"}
"""Of packages whose metadata does not say it in words that are read here. What PDFium carries besides stands in pypdfium2's own
folder licenses: BSD, FreeType, IJG, libpng, libtiff, ICU."""


def licence(found: metadata.PackageMetadata) -> str:
    """An SPDX expression; empty where the metadata does not say."""
    if expression := KNOWN.get(canonicalize_name(found["Name"])) or found.get("License-Expression"):
        return str(expression)
    ends = [one.split(" :: ")[-1] for one in found.get_all("Classifier") or () if one.startswith("License ::")]
    named = [CLASSIFIERS[end] for end in ends if end in CLASSIFIERS]
    if named:
        return " AND ".join(dict.fromkeys(named))
    said = (found.get("License") or "").strip().partition("\n")[0].strip()  # some have the whole text
    return said if allowed(said) else WORDS.get(said.lower(), "")


def allowed(expression: str) -> bool:
    """Of `A OR B` one is enough, of `A AND B` none is; AND binds closer, as in SPDX."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        expression = f"{expression[: inner.start()]} {'0BSD' if allowed(inner[1]) else 'no'} {expression[inner.end() :]}"
    return any(all(part.strip() in ALLOWED for part in one.split(" AND ")) for one in expression.split(" OR "))


@lru_cache
def needed(name: str, extras: tuple[str, ...] = ()) -> dict[str, tuple[metadata.Distribution, list[str]]]:
    """Every installed package that `name` needs here, itself too -> its distribution and the names that it needs itself."""
    found: dict[str, tuple[metadata.Distribution, list[str]]] = {}
    seen, todo = set[tuple[str, tuple[str, ...]]](), [(canonicalize_name(name), tuple(extras))]
    while todo:
        one, wanted = todo.pop()
        if (one, wanted) in seen:
            continue
        seen.add((one, wanted))
        try:
            distribution = found[one][0] if one in found else metadata.distribution(one)
        except metadata.PackageNotFoundError:
            continue  # not for this platform
        _, below = found.setdefault(one, (distribution, []))
        for requirement in requirements(distribution, wanted):
            other = canonicalize_name(requirement.name)
            if other not in below:
                below.append(other)
            todo.append((other, tuple(sorted(requirement.extras))))
    return dict(sorted(found.items()))


def requirements(distribution: metadata.Distribution, extras: Sequence[str]) -> Iterator[Requirement]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


@lru_cache
def reference(distribution: metadata.Distribution) -> str:
    return f"pkg:pypi/{canonicalize_name(distribution.metadata['Name'])}@{distribution.version}"


def component(distribution: metadata.Distribution, kind: str = "library") -> dict[str, Any]:
    found, purl = distribution.metadata, reference(distribution)  # it is parsed each time
    about = {"type": kind, "bom-ref": purl, "name": found["Name"], "version": found["Version"], "purl": purl}
    if expression := licence(found):
        about["licenses"] = [{"expression": expression}]
    return about


def models() -> list[dict[str, Any]]:
    """The embedded models that a wheel carries or needs, with their weights' digests."""
    from mmgen.config import assets_dir
    from mmgen.embedded import EMBEDDED

    shipped = json.loads((assets_dir() / "models" / "checksums.json").read_text(encoding="utf-8"))
    found = []
    for one in EMBEDDED.values():
        name = one.reference.partition(":")[2]
        weights = one.sha256 or next(value for path, value in shipped.items() if path.startswith(f"{name}/"))
        about = {"type": "machine-learning-model", "bom-ref": one.reference, "name": one.reference, "description": one.summary}
        licences, hashes = [{"license": {"name": one.licence}}], [{"alg": "SHA-256", "content": weights}]
        found.append({**about, "licenses": licences, "hashes": hashes})
    return found


def bill(extras: tuple[str, ...] = ()) -> dict[str, Any]:
    """CycloneDX 1.6."""
    packages = needed("mmgen", extras)
    own, _ = packages["mmgen"]
    about: dict[str, Any] = {"component": component(own, "application")}
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        about["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    links = [
        {"ref": reference(one), "dependsOn": sorted(reference(packages[name][0]) for name in below if name in packages)}
        for one, below in packages.values()
    ]
    parts = [component(one) for one, _ in packages.values() if one is not own]
    made = {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": about,
            "components": [*parts, *models()], "dependencies": links}  # fmt: skip
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(made, sort_keys=True))
    return {**made, "serialNumber": f"urn:uuid:{serial}"}


def unlisted(extras: tuple[str, ...] = ()) -> list[str]:
    """A line for each package whose licence is not allowed, or not known."""
    said = {name: licence(one.metadata) for name, (one, _) in needed("mmgen", extras).items()}
    return [f"{name}: {text or 'its metadata says no licence'}" for name, text in said.items() if not allowed(text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="check licences")
    parser.add_argument("--extra", action="append", default=[], help="an extra of mmgen; repeatable")
    given = parser.parse_args()
    if not given.check:
        print(json.dumps(bill(tuple(given.extra)), indent=1))
        return
    wrong = unlisted(tuple(given.extra))
    print("\n".join(wrong) or "every licence is on the list")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
