"""Formats as text: columns and fields by name, and what is refused."""

from pathlib import Path

import pytest

from mmgen.ingest import extractors
from mmgen.ingest.charset import Unreadable

PATH = Path("a")


def test_text_keeps_its_characters() -> None:
    assert extractors.plain(PATH, b"# A\n\nb") == ("# A\n\nb", (), {})
    with pytest.raises(Unreadable, match="is a program; give its source"):
        extractors.plain(PATH, b"\x7fELF...")


def test_rows_and_objects_name_their_values() -> None:
    text, _, _ = extractors.csv(PATH, b"name,year\nHirta,1823\nCordouan,1611\n")
    assert "name: Hirta\nyear: 1823" in text and "\n\nname: Cordouan" in text
    text, _, _ = extractors.jsonl(PATH, b'{"text": "a fox", "lang": "en"}\n{"text": "a hen"}\n')
    assert "lang: en" in text and text.index("a fox") < text.index("a hen")
