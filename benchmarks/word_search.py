"""Recall@5 of word search (bm25) by language, on texts that Debian's packages carry.

python benchmarks/word_search.py ROOT [--texts 240] [--mixed] [--show LANGUAGE]
ROOT: where `libreoffice-help-*` and the language packs `firefox-esr-l10n-*` and `thunderbird-l10n-*` are unpacked (dpkg-deb -x,
and unzip the .xpi below it). Two tests, neither of questions that people asked:

- opening: LibreOffice's help. What is to be found is a page without its title and first paragraph; it is asked for by that
  paragraph. Many say little of what follows, so that nothing finds them all: beside each language stands English on the same
  pages. In Thai and Arabic, which that help is not translated to: a dialog's text of Firefox or Thunderbird is asked for by
  its title, which often shares no word with it.
- half: every second word of the longest sentence of a text (every second pair of letters, where no spaces part words): whether
  words are words in that script.

What is not translated is left out, paragraph by paragraph. `--mixed` puts all languages into one store.
"""

import argparse
import random
import re
import tempfile
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from lxml import html

from mmgen.interfaces import Document, Passage
from mmgen.stores.documents import DocumentStore

HELP = {
    "en": "en-US",
    "de": "de",
    "ru": "ru",
    "hi": "hi",
    "zh": "zh-CN",
    "ja": "ja",
    "ko": "ko",
    "nl": "nl",
    "sv": "sv",
    "fi": "fi",
}
PACKS = ("th", "ar")
SCRIPTS = {
    "ru": "CYRILLIC", "hi": "DEVANAGARI", "zh": "CJK", "ja": "HIRAGANA", "ko": "HANGUL", "th": "THAI", "ar": "ARABIC",
}  # fmt: skip
UNSPACED = {"zh", "ja", "th"}
LEAST = {False: 40, True: 16}
"""Characters of a question, with spaces between words and without."""
MESSAGE = re.compile(r"^([a-zA-Z][\w-]*) ?= ?(.*(?:\n[ \t]+.*)*)", re.MULTILINE)
TITLE = re.compile(r"-?(title|header|heading|label|summary|button)\d*$")
LONGEST = 700  # characters of a passage
Pair = tuple[str, str]
"""What is asked, and the text to find. They have a name: the same in every language."""


def in_own_script(text: str, language: str) -> bool:
    letters = [character for character in text if character.isalpha()]
    wanted = SCRIPTS.get(language)
    own = sum(unicodedata.name(letter, "").startswith((wanted, "CJK")) for letter in letters) if wanted else len(letters)
    return bool(letters) and own / len(letters) > 0.6


@cache
def paragraphs(file: Path) -> tuple[str, ...]:
    """Of a page of LibreOffice's help."""
    if not file.is_file():
        return ()
    page = html.document_fromstring(file.read_bytes(), parser=html.HTMLParser(encoding="utf-8"))
    return tuple(" ".join(p.text_content().split()) for p in page.xpath("//*[@id='DisplayArea']//p"))


def pages(root: Path, language: str) -> Iterator[tuple[str, Pair]]:
    """Of LibreOffice's help: (first paragraph, the others)."""
    help = root / "usr/share/libreoffice/help"
    files = sorted(file.relative_to(help / "en-US") for file in (help / "en-US" / "text").rglob("*.html"))
    files = [file for file in files if "sbasic" not in file.parts]
    random.Random(1).shuffle(files)
    least = LEAST[language in UNSPACED]
    for file in files:
        known = set(paragraphs(help / "en-US" / file)) if language != "en" else set()
        found = [p for p in paragraphs(help / HELP[language] / file) if p not in known and in_own_script(p, language)]
        if found and len(found[0]) > least and sum(map(len, found[1:])) > 5 * least:
            yield file.as_posix(), (found[0], "\n".join(found[1:])[:LONGEST])


def messages(root: Path, language: str) -> Iterator[tuple[str, Pair]]:
    """Of the language packs: (a dialog's title, its text)."""
    groups: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for file in sorted(root.rglob("*.ftl")):
        if f"/{language}/" not in file.as_posix():
            continue
        for name, value in MESSAGE.findall(file.read_text(encoding="utf-8")):
            lines = [line.strip() for line in value.splitlines()]
            text = " ".join(line.partition("=")[2].strip() if re.match(r"\.[\w-]+ ?=", line) else line for line in lines)
            text = " ".join(re.sub(r"\{[^{}]*\}|<[^<>]*>", " ", text).split())
            groups[file.name, "-".join(name.split("-")[:3])][name] = text
    for name, group in groups.items():
        titles = [text for key, text in group.items() if TITLE.search(key) and len(text) > 8]
        body = "\n".join(text for key, text in group.items() if not TITLE.search(key))
        if titles and len(body) > 80:
            yield "/".join(name), (titles[0], body[:LONGEST])


def pairs(root: Path, language: str, most: int) -> dict[str, Pair]:
    """The first `most` whose question and text are in the language, each text once."""
    out: dict[str, Pair] = {}
    texts: set[str] = set()
    for name, pair in messages(root, language) if language in PACKS else pages(root, language):
        if all(in_own_script(part, language) for part in pair) and pair[1] not in texts and len(out) < most:
            out[name] = pair
            texts.add(pair[1])
    return out


def half(text: str, language: str) -> str:
    """Every second word of the longest sentence."""
    sentences = [s for s in re.split(r"(?<=[.!?。！？।])\s*|\n", text) if len(s) > 25] or [text]
    sentence = max(sentences, key=len)
    if language in UNSPACED:
        pieces = re.findall(r"\w[\w\u0e30-\u0e4e]{0,5}", sentence) if language == "th" else re.findall(r"\w{1,4}", sentence)
        return " ".join(pieces[::2])
    return " ".join(sentence.split()[::2])


def recall(store: DocumentStore, asked: dict[str, str], show: bool = False, k: int = 5) -> float:
    """The share of documents that are among the `k` first of their questions."""
    found = {uri: uri in {hit.uri for hit in store.search(query, k=k, method="bm25")} for uri, query in asked.items()}
    for uri, good in found.items():
        if show and not good:
            print(f"    {asked[uri]!r} != {store.document(uri).text[:150]!r}")
    return float(np.mean(list(found.values())))


def filled(path: Path, sets: dict[str, dict[str, Pair]]) -> DocumentStore:
    store = DocumentStore(path, encoder="none", dimension=1)
    store.add_many(
        (Document(f"/{language}/{name}", text, "text", ""), [Passage(text, 0, len(text))], np.ones((1, 1), np.float32))
        for language, found in sets.items()
        for name, (_, text) in found.items()
    )
    return store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--texts", type=int, default=240, help="of each language")
    parser.add_argument("--mixed", action="store_true", help="one store for all languages")
    parser.add_argument("--show", default="", help="prints the questions of that language that find nothing right")
    args = parser.parse_args()
    sets = {language: pairs(args.root, language, args.texts) for language in (*HELP, *PACKS)}
    english = pairs(args.root, "en", 10**6)
    print("recall@5 of bm25\nlanguage  texts  detected  opening  English there    half")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = filled(folder / "all", sets) if args.mixed else None
        for language, found in sets.items():
            store = whole or filled(folder / language, {language: found})
            told = {one.uri: one.language for one in store.documents()}
            right = np.mean([told[f"/{language}/{name}"] == language for name in found])
            opening = recall(store, {f"/{language}/{name}": asked for name, (asked, _) in found.items()}, args.show == language)
            halves = recall(store, {f"/{language}/{name}": half(text, language) for name, (_, text) in found.items()})
            there = {name: english[name] for name in found if name in english}
            beside = "-"
            if there:
                other = filled(folder / f"en beside {language}", {"en": there})
                beside = f"{recall(other, {f'/en/{name}': asked for name, (asked, _) in there.items()}):.3f}"
            print(f"{language:8}{len(found):7}{right:10.2f}{opening:9.3f}{beside:>15}{halves:8.3f}", flush=True)


if __name__ == "__main__":
    main()
