"""Device time of users by the day."""

from pathlib import Path

import pytest

from mmgen.errors import BadRequest
from mmgen.stores.quotas import DAY_S, KEPT_DAYS, DayUse, QuotaStore


class Day:
    now = 10.25 * DAY_S

    def __call__(self) -> float:
        return self.now


def test_a_day_and_the_next(tables_at: Path | str) -> None:
    clock = Day()
    with QuotaStore(tables_at, clock) as store, QuotaStore(tables_at, clock) as other:
        assert store.today("ann") == DayUse(0.0, None, 11.0 * DAY_S) and not store.today("ann").exhausted
        store.set("ann", 2.0)
        store.add({"ann": 500.0, "bob": 1.0})
        other.add({"ann": 1500.0})
        assert store.today("ann") == DayUse(2.0, 2.0, 11.0 * DAY_S) and store.today("ann").exhausted
        assert store.today("bob").used_s == 0.001
        clock.now += DAY_S
        assert store.today("ann") == DayUse(0.0, 2.0, 12.0 * DAY_S)
        store.set("ann", None)
        assert store.today("ann").quota_s is None
        clock.now += KEPT_DAYS * DAY_S
        store.add({"ann": 1.0})
        clock.now -= KEPT_DAYS * DAY_S + DAY_S
        assert store.today("ann").used_s == 0.0, "what is older is gone"


@pytest.mark.parametrize("quota", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_quota(quota: float, tmp_path: Path) -> None:
    with QuotaStore(tmp_path / "keys.db") as store, pytest.raises(BadRequest, match="above 0"):
        store.set("ann", quota)
