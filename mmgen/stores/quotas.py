"""Device time that users may take a day, and what they took: beside the keys, in the same file. Days are UTC's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType

from mmgen.errors import BadRequest
from mmgen.stores.private.table_script import TableScript
from mmgen.stores.private.tables import Place, opened

DAY_S = 86400
KEPT_DAYS = 90
"""For which it is known what was taken."""

TABLES = TableScript(
    "",
    """
CREATE TABLE IF NOT EXISTS quotas (name TEXT PRIMARY KEY, device_s REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS device_time (
    day INTEGER NOT NULL, name TEXT NOT NULL, device_ms REAL NOT NULL, PRIMARY KEY (day, name)) WITHOUT ROWID;
""",
)


@dataclass(frozen=True)
class DayUse:
    """A user's device time of today."""

    used_s: float
    quota_s: float | None  # None: as much as there is
    renews: float  # seconds since 1970: the end of the day

    @property
    def exhausted(self) -> bool:
        return self.quota_s is not None and self.used_s >= self.quota_s


def checked(device_s: float) -> float:
    """Raises BadRequest for a quota that is not above 0."""
    if not (device_s > 0 and math.isfinite(device_s)):
        raise BadRequest(f"quota is {device_s:g} device-seconds a day; it must be above 0 (mmgen keys revoke ends a key)")
    return device_s


class QuotaStore:
    """Other processes see every change at once, and may add to the same users; threads may share it."""

    def __init__(self, place: Place, clock: Callable[[], float] | None = None) -> None:
        self._tables = opened(place, TABLES)
        self._clock = clock or self._tables.now

    def __enter__(self) -> QuotaStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._tables.close()

    def set(self, name: str, device_s: float | None) -> None:
        """Device-seconds a day from now on; None: no limit. Raises BadRequest for one that is not above 0."""
        if device_s is None:
            with self._tables.transaction() as connection:
                connection.execute("DELETE FROM quotas WHERE name = ?", (name,))
            return
        checked(device_s)
        with self._tables.transaction() as connection:
            connection.execute("DELETE FROM quotas WHERE name = ?", (name,))
            connection.execute("INSERT INTO quotas VALUES (?, ?)", (name, device_s))

    def today(self, name: str) -> DayUse:
        day = self._day()
        quota = self._tables.one("SELECT device_s FROM quotas WHERE name = ?", (name,))
        used = self._tables.one("SELECT device_ms FROM device_time WHERE day = ? AND name = ?", (day, name))
        return DayUse(used[0] / 1000 if used else 0.0, quota[0] if quota else None, float((day + 1) * DAY_S))

    def add(self, device_ms: Mapping[str, float]) -> None:
        """What users took since the last call, added to today's."""
        day = self._day()
        with self._tables.transaction() as connection:
            connection.executemany(
                "INSERT INTO device_time VALUES (?, ?, ?) "
                "ON CONFLICT (day, name) DO UPDATE SET device_ms = device_time.device_ms + excluded.device_ms",
                [(day, name, spent) for name, spent in device_ms.items()],
            )
            connection.execute("DELETE FROM device_time WHERE day <= ?", (day - KEPT_DAYS,))

    def _day(self) -> int:
        return int(self._clock() // DAY_S)
