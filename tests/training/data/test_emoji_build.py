import io
import json
import tarfile
from pathlib import Path

import pytest

from mmgen.errors import BadRequest, NotFound
from mmgen.training.data import emoji_dataset, emoji_vectors
from mmgen.training.data.emoji_build import build, slug

SQUARE = '<path d="M0 0h{0}v{0}H0z" fill="#f00"/>'
EMOJI = [("1f534", "🔴", "red circle", 1, 5), ("2b1b", "⬛", "black square", 1, 1), ("2764-FE0F", "❤️", "red heart", 0, 3)]


def pack(folder: Path, package: str, version: str, **files: object) -> None:
    with tarfile.open(folder / f"{package.removeprefix('@').replace('/', '-')}-{version}.tgz", "w:gz") as archive:
        for name, value in files.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def tarballs(tmp_path: Path) -> Path:
    """Three emoji: all but fluent draw the first and the last alike, noto also the second, by an alias."""
    folder = tmp_path / "packages"
    folder.mkdir()
    icons = {
        "left": {"body": SQUARE.format(8)},
        "wide": {"body": SQUARE.format(16), "height": 8},
        "red-heart": {"body": SQUARE.format(8)},
    }
    for vendor, source in emoji_dataset.SOURCES.items():
        chars = {"1f534": "left"} | ({"2b1b": "same"} if vendor == "noto" else {})
        own = {"left": {"body": SQUARE.format(4)}} if vendor == "fluent" else {}
        body = {"icons": icons | own, "aliases": {"same": {"parent": "wide"}}, "width": 16, "height": 16}
        pack(folder, source.package, source.version, **{"icons.json": body, "chars.json": chars, "info.json": {"license": "x"}})
    words = {text.replace("\ufe0f", ""): {"default": name.split(), "tts": [name]} for _, text, name, _, _ in EMOJI}
    base = [
        {"hexcode": code, "emoji": text, "type": kind, "order": n, "group": 0, "subgroup": 0, "version": version}
        for n, (code, text, _, kind, version) in enumerate(EMOJI)
    ]
    versions = emoji_dataset.WORDS
    groups = {"groups": {"0": "symbols"}, "subgroups": {"0": "geometric"}}
    files = {"en/data.json": base, "meta/groups.json": groups, "LICENSE": ""}
    pack(folder, "emojibase-data", versions["emojibase-data"], **files)
    full = {"annotations/en/annotations.json": {"annotations": {"annotations": words}}, "LICENSE": ""}
    pack(folder, "cldr-annotations-full", versions["cldr-annotations-full"], **full)
    derived = {"annotationsDerived/en/annotations.json": {"annotationsDerived": {"annotations": {}}}, "LICENSE": ""}
    pack(folder, "cldr-annotations-derived-full", versions["cldr-annotations-derived-full"], **derived)
    return folder


def test_building_from_tarballs(tarballs: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    report = build(tmp_path / "set", tarballs)
    assert report.counts == {"noto": 2, "twemoji": 1, "fluent": 1, "fluent-flat": 1} and not report.pinned
    rows = emoji_dataset.read_rows(tmp_path / "set")
    assert [row["file"] for row in rows[:2]] == ["noto/2b1b.png", "noto/2764.png"]
    assert rows[1]["also"] == [{"codepoints": "1f534", "emoji": "🔴", "name": "red circle"}]  # the same square, but younger
    assert rows[1]["keywords"] == ["red", "heart"] and rows[1]["license"] == "Apache-2.0"
    assert rows[3]["file"] == "fluent/1f534.png"  # its heart is fluent-flat's
    wide, small = emoji_dataset.read_images(tmp_path / "set", [row["file"] for row in rows[:2]])
    assert (small[:32, :32] == [255, 0, 0, 255]).all() and not small[32:].any() and not small[:, 32:].any()
    assert (wide[16:48, :, 3] == 255).all() and not wide[:16].any()  # centred in its square
    svgs = list(emoji_vectors.read(tmp_path / "set", [row["file"] for row in rows]))
    assert all((emoji_vectors.rasterise(svg) == image).all() for svg, image in zip(svgs[:2], (wide, small), strict=True))
    assert len(list((tmp_path / "set" / "LICENSES").iterdir())) == len(emoji_dataset.SOURCES) + len(emoji_dataset.WORDS)
    with pytest.raises(BadRequest, match="is not an empty folder; choose a new one"):
        build(tmp_path / "set", tarballs)


def test_further_families(tarballs: Path, tmp_path: Path) -> None:
    """Icons are found by the things' names, whoever drew these first."""
    pytest.importorskip("resvg_py")
    line = '<path d="M0 0h16" stroke="currentColor"/>'
    body = {"icons": {"red-heart": {"body": line}, "red-circle-line": {"body": line}}, "width": 16, "height": 16}
    lucide = emoji_dataset.FAMILIES["lucide"]
    pack(tarballs, lucide.package, lucide.version, **{"icons.json": body, "info.json": {"license": "x"}})
    report = build(tmp_path / "set", tarballs, families=["lucide"])
    assert report.counts["lucide"] == 1 and report.licenses["lucide"] == "ISC"
    row = emoji_dataset.read_rows(tmp_path / "set")[-1]
    assert (row["file"], row["name"], row["also"]) == ("lucide/2764.png", "red heart", [])
    (image,) = emoji_dataset.read_images(tmp_path / "set", [row["file"]])
    assert image[0, :, 3].all() and not image[..., :3].any()
    assert (
        report.rows == emoji_dataset.check(tmp_path / "set").rows and (tmp_path / "set" / "LICENSES" / "lucide.json").is_file()
    )
    with pytest.raises(BadRequest, match=r"family 'lucid' is unknown .did you mean .lucide"):
        build(tmp_path / "other", tarballs, families=["lucid"])


@pytest.mark.parametrize(("name", "icon"), [("woman’s hat", "womans-hat"), ("keycap: #", "keycap"), ("ON! arrow", "on-arrow")])
def test_names_of_icons(name: str, icon: str) -> None:
    assert slug(name) == icon


def test_a_missing_tarball_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"cldr-annotations-full-48\.2\.0\.tgz.*npm pack cldr-annotations-full@48"):
        build(tmp_path / "set", tmp_path)


def test_no_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotFound, match="npm is not on the PATH; install"):
        build(tmp_path / "set")
