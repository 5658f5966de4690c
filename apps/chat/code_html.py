"""Code of an answer as HTML, coloured by its language: spans of classes, which web.css colours, and escaped text."""

from __future__ import annotations

from functools import lru_cache
from html import escape

LANGUAGES = frozenset({
    "bash", "c", "cpp", "csharp", "css", "diff", "go", "html", "ini", "java", "javascript", "js", "json", "kotlin", "lua",
    "php", "py", "python", "r", "ruby", "rust", "sh", "sql", "swift", "toml", "ts", "typescript", "xml", "yaml",
})  # fmt: skip
"""Whose lexers are used: a text that names another one is shown plainly."""
LONGEST = 10_000  # characters that are coloured
PREFIX = "hl-"


@lru_cache(maxsize=64)  # an answer that grows is shown anew many times
def html(code: str, language: str = "") -> str:
    """`language`: as the text names it behind a fence."""
    if language.lower() not in LANGUAGES or len(code) > LONGEST:
        return escape(code)
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    shown = str(highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix=PREFIX)))
    return shown if code.endswith("\n") else shown.removesuffix("\n")
