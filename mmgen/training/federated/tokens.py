"""Who may take part: a file with a client's name and its token on each line, made once and readable by its owner alone."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from mmgen.errors import BadRequest, NotFound

NAME = re.compile(r"[\w.-]{1,64}")


def read(path: Path) -> dict[str, str]:
    """Client -> token. Raises NotFound, or BadRequest for a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as why:
        raise NotFound(f"the tokens {path} cannot be read ({why}); give --tokens the file that the server wrote") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, _, token = line.strip().partition(" ")
        if not NAME.fullmatch(name) or len(token.strip()) < 16 or not token.strip().isascii():
            raise BadRequest(f"{path}, line {number} is no name and token of at least 16 characters; write: NAME TOKEN")
        if name in found or token.strip() in found.values():
            raise BadRequest(f"{path}, line {number} has the name or token of a line before; each client needs its own")
        found[name] = token.strip()
    if not found:
        raise BadRequest(f"{path} holds no client; write a line for each: NAME TOKEN")
    return found


def read_or_make(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The file's, or for these names a new file's."""
    if path.exists():
        return read(path)
    if not names:
        raise BadRequest(f"{path} does not exist; name the recipe's clients, and it is made for them")
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise BadRequest(f"{wrong[0]!r} is no name of a client; use letters, digits, dots and dashes, at most 64")
    made = {name: secrets.token_urlsafe(24) for name in names}
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.writelines(f"{name} {token}\n" for name, token in made.items())
    return made
