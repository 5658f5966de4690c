"""Who took too much is refused, by what the engine charged, across restarts; nobody else is."""

import logging
import time
from pathlib import Path

import pytest

from mmgen.errors import StoreError
from mmgen.serve.accounts.quotas import Quotas, _span
from mmgen.serve.errors import QuotaExceeded, response
from mmgen.stores.quotas import QuotaStore


def made(path: Path, spent: dict[str, float]) -> Quotas:
    return Quotas(QuotaStore(path), lambda: spent, lambda: ["ann", "bob"])


def test_what_was_used_the_limit_and_when_it_renews(tmp_path: Path) -> None:
    spent = {"ann": 5000.0}  # before the server began: not its own
    quotas = made(tmp_path / "keys.db", spent)
    quotas.store.set("ann", 0.6)
    quotas.check("ann")
    spent |= {"ann": 5600.0, "bob": 9e9, "a session": 1.0}
    with pytest.raises(QuotaExceeded, match=r"has used 0\.6 of its 0\.6 device-seconds of today; .* at .* 00:00 UTC, in"):
        quotas.check("ann")
    quotas.check("bob")
    try:
        quotas.check("ann")
    except QuotaExceeded as why:
        told = response(why)
        assert told.status_code == 429 and b"insufficient_quota" in told.body
        assert 0 < int(told.headers["retry-after"]) <= 86400
    quotas.record()
    spent["ann"] += 400
    quotas.close()
    again = made(tmp_path / "keys.db", {})
    assert again.today("ann").used_s == 1.0 and again.today("a session").used_s == 0.0
    again.store.set("ann", 5.0)
    again.check("ann")
    again.close()


def test_a_disk_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    spent = {"ann": 0.0}
    quotas = made(tmp_path / "keys.db", spent)
    quotas.store.set("ann", 1.0)
    spent["ann"] = 2000.0

    def full(device_ms: object) -> None:
        raise StoreError("no room")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr(quotas.store, "add", full)
        quotas.record()
    assert "no room" in caplog.text
    with pytest.raises(QuotaExceeded):
        quotas.check("ann")
    quotas.close()
    again = made(tmp_path / "keys.db", {})
    assert again.today("ann").used_s == 2.0
    again.close()


def test_it_is_recorded_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmgen.serve.accounts.quotas.RECORD_S", 0.001)
    spent = {"ann": 0.0}
    quotas = made(tmp_path / "keys.db", spent)
    quotas.start()
    spent["ann"] = 1000.0
    until = time.monotonic() + 20
    while quotas.store.today("ann").used_s < 1.0 and time.monotonic() < until:
        time.sleep(0.002)
    assert quotas.store.today("ann").used_s == 1.0
    quotas.close()


def test_spans() -> None:
    assert [_span(s) for s in (0.5, 60, 3599, 3600, 86399)] == ["1 min", "1 min", "1 h 0 min", "1 h 0 min", "24 h 0 min"]
