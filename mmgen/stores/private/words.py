"""Words of private texts in a table of PostgreSQL: what FTS5's tokenizer `porter unicode61` has in a file."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mmgen.stores.lexical.stemming import stem

POSTGRES = """
CREATE TABLE words (
    term text COLLATE "C" NOT NULL, number bigint NOT NULL REFERENCES {table} ON DELETE CASCADE, PRIMARY KEY (term, number));
CREATE INDEX words_of ON words(number);
CREATE FUNCTION said() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO words SELECT word, new.number FROM unnest(string_to_array(new.text, ' ')) AS word;
    RETURN NULL;
END $$;
CREATE TRIGGER said AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION said();
"""
"""Of a `table` with a primary key `number` and the words of a row, see `searchable`, in `text`."""
WORD = re.compile(r"[^\W_]+")
LONGEST = 64
"""Letters of a word that are compared."""


def terms(text: str) -> list[str]:
    """Its words without case, accents and English endings."""
    bare = "".join(one for one in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(one))
    return [stem(word, "en")[:LONGEST] for word in WORD.findall(bare)]


def searchable(text: str) -> str:
    """The column `text` of a row: each word once."""
    return " ".join(sorted(set(terms(text))))


def matching(words: Sequence[str], prefixes: bool = False) -> tuple[str, list[str]]:
    """A condition for rows that have all the words, or words that begin so, and its parameters."""
    sought = terms(" ".join(words))
    one = "number IN (SELECT number FROM words WHERE term = ?)"
    if not prefixes:
        return " AND ".join([one] * len(sought)) or "false", sought
    one = "number IN (SELECT number FROM words WHERE term >= ? AND term < ?)"
    return " AND ".join([one] * len(sought)) or "false", [bound for term in sought for bound in (term, term + chr(0x10FFFF))]
