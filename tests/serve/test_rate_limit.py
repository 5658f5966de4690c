"""Rates, by a clock that the test turns."""

import pytest

from mmgen.serve.rate_limit import RateLimit, TokenBuckets, _duration
from mmgen.stores.keys import RateSpec


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_fills_evenly() -> None:
    clock = Clock()
    limits, rate = TokenBuckets(clock), RateSpec.parse("60/min")
    taken = [limits.take("ann", rate) for _ in range(61)]
    assert [one.allowed for one in taken] == [True] * 60 + [False]
    assert taken[0].headers == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
    assert taken[60].wait == 1.0 and taken[60].headers["x-ratelimit-reset-requests"] == "1m0s"
    clock.now += 0.5
    assert limits.take("ann", rate).wait == 0.5, "refused requests take nothing out"
    clock.now += 0.5
    assert limits.take("ann", rate).allowed and not limits.take("ann", rate).allowed
    clock.now += 3600
    assert [limits.take("ann", rate).allowed for _ in range(61)] == [True] * 60 + [False], "it holds no more than its count"


def test_users_and_rates_are_apart() -> None:
    clock = Clock()
    limits = TokenBuckets(clock)
    assert limits.take("ann", RateSpec.parse("1/s")).allowed and not limits.take("ann", RateSpec.parse("1/s")).allowed
    assert limits.take("bob", RateSpec.parse("1/s")).allowed
    assert limits.take("ann", RateSpec.parse("2/day")).allowed, "a new rate begins full"
    assert limits.take("ann", RateSpec.parse("2/day")).allowed
    assert limits.take("ann", RateSpec.parse("2/day")).wait == pytest.approx(43200)


async def test_what_a_client_is_told() -> None:
    from types import SimpleNamespace

    from starlette.responses import JSONResponse

    clock, sent = Clock(), []

    async def send(message: dict) -> None:
        sent.append(message)

    async def call(path: str, rate: RateSpec | None, type: str = "http") -> tuple[int, dict[bytes, bytes]]:
        sent.clear()
        caller = SimpleNamespace(user="ann", rate=rate)
        await limit({"type": type, "path": path, "headers": [], "state": {"caller": caller}}, None, send)
        return sent[0]["status"], dict(sent[0]["headers"])

    limit = RateLimit(JSONResponse({}), TokenBuckets(clock))
    rate = RateSpec.parse("2/min")
    for left in (b"1", b"0"):
        status, headers = await call("/v1/models", rate)
        assert status == 200 and headers[b"x-ratelimit-remaining-requests"] == left
    status, headers = await call("/v1/models", rate)
    assert status == 429 and headers[b"retry-after"] == b"30" and headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert b'"type":"rate_limit_error"' in sent[1]["body"] and b'"code":"rate_limit_exceeded"' in sent[1]["body"]
    assert (await call("/assets/index.js", rate))[0] == 200, "the page's parts are not calls"
    assert (await call("/v1/models", None))[0] == 200
    clock.now += 30
    assert (await call("/v1/models", rate))[0] == 200


def test_durations() -> None:
    assert [_duration(s) for s in (0, 0.12, 0.9999, 1, 90, 3600.5)] == ["0ms", "120ms", "1000ms", "1s", "1m30s", "1h0m1s"]


def test_what_nobody_awaits_leaves_one() -> None:
    clock = [0.0]
    buckets = TokenBuckets(lambda: clock[0])
    rate = RateSpec.parse("3/min")
    assert [buckets.take("ann", rate, spare=1).allowed for _ in range(4)] == [True, True, False, False]
    assert buckets.take("ann", rate).allowed and not buckets.take("ann", rate).allowed
    clock[0] = 20.0  # one more by now, which is the spare one
    assert not buckets.take("ann", rate, spare=1).allowed and buckets.take("ann", rate).allowed
    assert buckets.take("bob", RateSpec.parse("1/min"), spare=1).allowed, "a rate of one call cannot spare it"
