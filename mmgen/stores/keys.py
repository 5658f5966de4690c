"""API keys with scopes, stores and rate limits. Only a salted hash of each key is stored."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from mmgen.errors import BadRequest, Clash, NotFound, nearest
from mmgen.stores.private.table_script import TableScript
from mmgen.stores.private.tables import Place, opened

ALL = ("chat", "embeddings", "images", "stores", "stores:write", "engine")
"""What `--scopes all` means: everything but other people's keys."""
SCOPES = (*ALL, "admin")
"""Scopes of a key. chat: every API that writes texts; embeddings: with /v1/rerank; images: that draws; stores: read, search and
ask; stores:write: documents; engine: /metrics and other people's requests; admin: all keys."""
EVERYDAY = ("chat", "embeddings", "images", "stores")
"""Default scopes."""
UNITS = {"s": 1, "min": 60, "h": 3600, "day": 86400}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
STORE = re.compile(r"\w[\w.-]{0,99}")
"""A store as keys and HTTP name it: a bare name, never a path."""
KEY = re.compile(r"mm-([A-Za-z0-9_-]{8})([A-Za-z0-9_-]{35})")
"""32 random bytes in URL-safe Base64: the first 8 letters tell which key it is, the other 35 prove it."""
COST = 2**14
"""Of scrypt (RFC 7914): 16 MiB. The secret has 210 random bits, so that this is more than enough."""
REMEMBERED_S = 300.0
"""Seconds for which a verified key is cached, without another scrypt."""

TABLES = TableScript(
    "",
    """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, salt BLOB NOT NULL, hash BLOB NOT NULL, weight REAL NOT NULL, rate TEXT,
    scopes TEXT NOT NULL, stores TEXT, created REAL NOT NULL, expires REAL, revoked REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given_keys (name TEXT PRIMARY KEY) WITHOUT ROWID;
""",
)
COLUMNS = "id, name, weight, rate, scopes, stores, created, expires, revoked"


@dataclass(frozen=True)
class RateSpec:
    """A rate limit: requests per unit of time."""

    count: int
    unit: str  # of UNITS

    @classmethod
    def parse(cls, text: str) -> RateSpec:
        """Of "60/min". Raises BadRequest."""
        count, _, unit = text.strip().partition("/")
        if unit not in UNITS or not re.fullmatch(r"[1-9]\d{0,8}", count):
            raise BadRequest(f'rate is "{text}"; give one such as 5/s, 60/min, 500/h or 1000/day')
        return cls(int(count), unit)

    @property
    def seconds(self) -> int:
        return UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.count}/{self.unit}"


@dataclass(frozen=True)
class ApiKey:
    """A key's public record, without the secret."""

    id: str
    name: str  # the user that the engine and the history know
    weight: float  # share of the device
    rate: RateSpec | None
    scopes: frozenset[str]
    stores: frozenset[str] | None  # None: all
    created: float  # seconds since 1970, as are the others
    expires: float | None
    revoked: float | None

    def valid(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def state(self, now: float) -> str:
        """valid, revoked or expired."""
        return "revoked" if self.revoked is not None else "valid" if self.valid(now) else "expired"

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        lists = {"scopes": sorted(self.scopes), "stores": None if self.stores is None else sorted(self.stores)}
        return {**vars(self), **lists, "rate": None if self.rate is None else str(self.rate)}


class KeyStore:
    """The keys in one file, or on a server. Other processes see every change at once; threads may share it."""

    def __init__(self, place: Place, clock: Callable[[], float] | None = None) -> None:
        self._tables = opened(place, TABLES)
        self._clock = clock or self._tables.now
        self._pepper, self._nobody = secrets.token_bytes(32), secrets.token_bytes(32)
        self._proved: dict[bytes, tuple[bytes, float]] = {}  # digest of a key -> the hash that it was proved by, until when

    def __enter__(self) -> KeyStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tables.close()

    def any(self) -> bool:
        """Whether a key was ever created. Revoking the last one does not disable authentication."""
        return self._tables.one("SELECT 1 FROM keys LIMIT 1") is not None

    def create(
        self,
        name: str,
        weight: float = 1.0,
        rate: str | None = None,
        scopes: Sequence[str] = EVERYDAY,
        stores: Sequence[str] | None = None,
        expires: float | None = None,
    ) -> str:
        """A new key -> the key, shown this once.

        Args:
            name: of its user; the engine's shares and the history go by it.
            weight: twice as much is twice the device time while others wait too.
            rate: such as 60/min; None: no limit.
            scopes: what it is for, of SCOPES.
            stores: the stores that it may use; None: all.
            expires: seconds since 1970; None: never.

        Raises BadRequest for a value out of its range, Clash for a name that has a key.
        """
        _check(name, weight, scopes, stores)
        key = f"mm-{secrets.token_urlsafe(32)}"
        row = (*_hashed(name, key), *_rights(weight, rate, scopes, stores), self._clock(), expires, None)
        with self._tables.transaction() as connection:
            if connection.execute("SELECT 1 FROM keys WHERE name = ?", (name,)).fetchone():
                raise Clash(f'there is a key "{name}" already; give another name, or a new key: mmgen keys rotate {name}')
            connection.execute(f"INSERT INTO keys VALUES ({', '.join('?' * len(row))})", row)
        return key

    def put(
        self,
        name: str,
        key: str,
        weight: float = 1.0,
        rate: str | None = None,
        scopes: Sequence[str] = EVERYDAY,
        stores: Sequence[str] | None = None,
    ) -> None:
        """Makes this the user's key, with these rights, which `create` describes; what was there of that name ends.

        Raises BadRequest for a value out of its range, and for a key that is not `mm-` and 43 letters, digits, - or _.
        """
        _check(name, weight, scopes, stores)
        if not KEY.fullmatch(key):
            raise BadRequest(f"the key of {name} has another form; draw one: echo mm-$(openssl rand -hex 32 | cut -c -43)")
        id, _, salt, proof = _hashed(name, key)
        rights, now = _rights(weight, rate, scopes, stores), self._clock()
        with self._tables.transaction() as connection:
            connection.execute("INSERT INTO given_keys VALUES (?) ON CONFLICT DO NOTHING", (name,))
            connection.execute("DELETE FROM keys WHERE name = ? OR id = ?", (name, id))
            row = (id, name, salt, proof, *rights, now, None, None)
            connection.execute(f"INSERT INTO keys VALUES ({', '.join('?' * len(row))})", row)

    def keep_given(self, names: Collection[str]) -> None:
        """Revokes keys that were once put and are not among `names`."""
        with self._tables.transaction() as connection:
            gone = [(one,) for (one,) in connection.execute("SELECT name FROM given_keys") if one not in names]
            now = self._clock()
            connection.executemany(
                "UPDATE keys SET revoked = coalesce(revoked, ?) WHERE name = ?", [(now, *one) for one in gone]
            )
            connection.executemany("DELETE FROM given_keys WHERE name = ?", gone)

    def rotate(self, name: str) -> str:
        """A new key in place of that user's, with all the same rights; the old one ends now. A revoked one lives again."""
        key = f"mm-{secrets.token_urlsafe(32)}"
        id, _, salt, proof = _hashed(name, key)
        self._change(name, "id = ?, salt = ?, hash = ?, created = ?, revoked = NULL", (id, salt, proof, self._clock()))
        return key

    def change(self, name: str, **to: Any) -> None:
        """Other rights for a user's key: `weight`, `rate`, `scopes`, `stores`, as `create` takes them.

        Raises NotFound, or BadRequest for a value out of its range.
        """
        values = dict[str, Any]()
        for field, value in to.items():
            if field in ("weight", "scopes") and value is None:
                raise BadRequest(f"{field} is nothing; leave it out, or give a value")
            values[field] = value
        _check(name, values.get("weight", 1.0), values.get("scopes", EVERYDAY), values.get("stores"))
        if values.get("rate") is not None:
            values["rate"] = str(RateSpec.parse(values["rate"]))
        for field in ("scopes", "stores"):
            if values.get(field) is not None:
                values[field] = " ".join(sorted(set(values[field])))
        self._change(name, ", ".join(f"{field} = ?" for field in values) or "name = name", tuple(values.values()))

    def revoke(self, name: str) -> None:
        """Ends that user's key now. The name stays taken."""
        self._change(name, "revoked = coalesce(revoked, ?)", (self._clock(),))

    def all(self) -> list[ApiKey]:
        """Every key, also revoked ones, by name."""
        return [_key(row) for row in self._tables.all(f"SELECT {COLUMNS} FROM keys ORDER BY name")]

    def recall(self, text: str) -> ApiKey | None:
        """The key record of this text if it was verified in the last minutes; needs no scrypt."""
        row = self._row(text)
        proved, until = self._proved.get(self._digest(text), (b"", 0.0))
        if row is None or time.monotonic() > until or not hmac.compare_digest(proved, row[-1]):
            return None
        return self._valid(row)

    def verify(self, text: str) -> ApiKey | None:
        """The key record of this text, or None if invalid; both take one scrypt (about 50 ms)."""
        row, match = self._row(text), KEY.fullmatch(text)
        salt, expected = (row[-2], row[-1]) if row else (self._nobody, self._nobody)
        found = _scrypt(match[2] if match else "", salt)
        if not hmac.compare_digest(found, expected) or row is None:
            return None
        now = time.monotonic()
        kept = {digest: proof for digest, proof in self._proved.items() if proof[1] > now}
        self._proved = {**kept, self._digest(text): (expected, now + REMEMBERED_S)}
        return self._valid(row)

    def _valid(self, row: Any) -> ApiKey | None:
        key = _key(row)
        return key if key.valid(self._clock()) else None

    def _row(self, text: str) -> Any:
        """Read anew every time, so that what another process revoked is revoked."""
        match = KEY.fullmatch(text)
        return self._tables.one(f"SELECT {COLUMNS}, salt, hash FROM keys WHERE id = ?", (match[1] if match else "",))

    def _digest(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "replace"), key=self._pepper, digest_size=32).digest()

    def _change(self, name: str, what: str, values: Sequence[Any]) -> None:
        with self._tables.transaction() as connection:
            known = [one for (one,) in connection.execute("SELECT name FROM keys")]
            if name not in known:
                raise NotFound(f'there is no key "{name}"{nearest(name, known)}; `mmgen keys list` names all')
            connection.execute(f"UPDATE keys SET {what} WHERE name = ?", (*values, name))


def _check(name: str, weight: float, scopes: Sequence[str], stores: Sequence[str] | None) -> None:
    if not NAME.fullmatch(name) or name == "local":  # local: who calls where there are no keys
        raise BadRequest(f'name is "{name}"; give 1 to 64 letters, digits, dots, dashes, and not "local"')
    if not (weight > 0 and math.isfinite(weight)):
        raise BadRequest(f"weight is {weight}; it must be above 0")
    for scope in scopes:
        if scope not in SCOPES:
            raise BadRequest(f'there is no scope "{scope}"{nearest(scope, list(SCOPES))}; there are {", ".join(SCOPES)}')
    if not scopes:
        raise BadRequest(f"the key is for nothing; give scopes of {', '.join(SCOPES)}")
    for store in stores or ():
        if not STORE.fullmatch(store):
            raise BadRequest(f'store "{store}" is no bare name; give one such as notes, not a path')


def _hashed(name: str, key: str) -> tuple[str, str, bytes, bytes]:
    """A key's id, its user, a salt, and the hash of its secret part."""
    match, salt = KEY.fullmatch(key), secrets.token_bytes(16)
    assert match is not None
    return match[1], name, salt, _scrypt(match[2], salt)


def _rights(
    weight: float, rate: str | None, scopes: Sequence[str], stores: Sequence[str] | None
) -> tuple[float, str | None, str, str | None]:
    """As the table holds them."""
    limit = None if rate is None else str(RateSpec.parse(rate))
    return weight, limit, " ".join(sorted(set(scopes))), None if stores is None else " ".join(sorted(set(stores)))


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, n=COST, r=8, p=1, dklen=32)


def _key(row: Any) -> ApiKey:
    id, name, weight, rate, scopes, stores, created, expires, revoked = row[:9]
    allowed = None if stores is None else frozenset(stores.split())
    limit = None if rate is None else RateSpec.parse(rate)
    return ApiKey(id, name, weight, limit, frozenset(scopes.split()), allowed, created, expires, revoked)
