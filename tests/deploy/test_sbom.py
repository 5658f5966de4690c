"""The bill of materials and the licences of what is installed here."""

import json
import runpy
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).parents[2] / "deploy" / "sbom.py"
EXTRAS = ("heic", "ocr", "otel")
TOOL: dict[str, Any] = runpy.run_path(str(FILE))


@pytest.mark.parametrize(("expression", "fine"), [
    ("MIT", True), ("GPL-3.0-only", False), ("", False), ("MIT OR GPL-3.0-only", True), ("MIT AND GPL-3.0-only", False),
    ("GPL-3.0-only AND MIT OR ISC", True), ("(GPL-3.0-only OR MIT) AND ISC", True), ("(GPL-3.0-only AND MIT) OR X", False),
    ("Apache-2.0 WITH LLVM-exception", True), ("Apache-2.0 AND (MIT OR (X AND ISC))", True),
])  # fmt: skip
def test_expressions(expression: str, fine: bool) -> None:
    assert TOOL["allowed"](expression) is fine


@pytest.mark.parametrize(("fields", "said"), [
    ({"License-Expression": "MIT", "License": "BSD"}, "MIT"),
    ({"Classifier": "License :: OSI Approved :: BSD License", "License": "GPL"}, "BSD-3-Clause"),
    ({"License": "Apache 2.0 License"}, "Apache-2.0"),
    ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT"),
    ({"License": "MIT License\n\nCopyright"}, "MIT"),
    ({"License": "ask me"}, ""),
    ({"Classifier": "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"}, ""),
    ({}, ""),
])  # fmt: skip
def test_what_metadata_says(fields: dict[str, str], said: str) -> None:
    message = Message()
    for name, value in {"Name": "x", **fields}.items():
        message[name] = value
    assert TOOL["licence"](message) == said


def test_every_licence_is_on_the_list() -> None:
    assert TOOL["unlisted"](EXTRAS) == []


@pytest.mark.slow
def test_the_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    made = TOOL["bill"](EXTRAS)
    assert made == TOOL["bill"](EXTRAS), "the same twice"
    assert made["bomFormat"] == "CycloneDX" and made["metadata"]["timestamp"] == "1970-01-01T00:00:00Z"
    refs = [one["bom-ref"] for one in made["components"]]
    assert len(set(refs)) == len(refs)
    names = {one["name"].lower() for one in made["components"]}
    assert {"torch", "transformers", "numpy", "faiss-cpu", "embedded:emoji", "embedded:smollm2"} <= names
    assert all(one.get("licenses") for one in made["components"])
    assert not names & {"pytest", "hypothesis", "mmgen"}, "what only tests need is no part of it"
    known = {made["metadata"]["component"]["bom-ref"], *refs}
    for link in made["dependencies"]:
        assert {link["ref"], *link["dependsOn"]} <= known
    first = next(link for link in made["dependencies"] if link["ref"] == made["metadata"]["component"]["bom-ref"])
    assert any(one.startswith("pkg:pypi/torch@") for one in first["dependsOn"])
    for one in made["components"]:
        if one["type"] == "machine-learning-model":
            assert all(len(digest["content"]) == 64 for digest in one["hashes"])


@pytest.mark.slow
def test_by_cyclonedx_own_schema() -> None:
    pytest.importorskip("cyclonedx", reason="pip install '.[deploy]'")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(TOOL["bill"]())) is None
