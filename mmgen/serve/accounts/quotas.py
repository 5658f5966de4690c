"""Refuses users who took their device-seconds of the day. What the engine charged counts at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

from mmgen.errors import MmgenError
from mmgen.serve.errors import QuotaExceeded
from mmgen.stores.quotas import DayUse, QuotaStore

log = logging.getLogger(__name__)
RECORD_S = 5.0
"""Between two writes: what a process that is killed may forget."""


class Quotas:
    """Of users with keys. Thread-safe."""

    def __init__(
        self, store: QuotaStore, spent: Callable[[], Mapping[str, float]], users: Callable[[], Collection[str]]
    ) -> None:
        """`spent`: the engine's device-milliseconds by user since it began (Metrics.users); `users`: whose are kept."""
        self.store, self.spent, self.users = store, spent, users
        self._recorded = dict(spent())
        self._lock = threading.Lock()  # of the above: what is recorded is in the store
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mmgen-quotas", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.record()
        self.store.close()

    def check(self, user: str) -> None:
        """Raises QuotaExceeded."""
        use = self.today(user)
        if use.exhausted:
            left = use.renews - time.time()
            renews = datetime.fromtimestamp(use.renews, UTC).strftime("%Y-%m-%d %H:%M UTC")
            raise QuotaExceeded(
                f"this key has used {use.used_s:.1f} of its {use.quota_s:g} device-seconds of today; they renew at {renews}, "
                f"in {_span(left)}; wait, or use another",
                left,
            )

    def today(self, user: str) -> DayUse:
        with self._lock:
            use = self.store.today(user)
            return DayUse(use.used_s + self._fresh(user) / 1000, use.quota_s, use.renews)

    def record(self) -> None:
        """Writes what is not in the store yet. What cannot be written now is told in the log, and counts on."""
        with self._lock:
            fresh = {user: spent for user in list(self.spent()) if (spent := self._fresh(user)) > 0}
            if not fresh:
                return
            try:
                known = set(self.users())
                self.store.add({user: spent for user, spent in fresh.items() if user in known})
            except MmgenError as why:
                log.warning("the use of the device is not recorded: %s", why)
                return
            for user, spent in fresh.items():
                self._recorded[user] = self._recorded.get(user, 0.0) + spent

    def _fresh(self, user: str) -> float:
        return self.spent().get(user, 0.0) - self._recorded.get(user, 0.0)

    def _run(self) -> None:
        while not self._ended.wait(RECORD_S):
            self.record()


def _span(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
