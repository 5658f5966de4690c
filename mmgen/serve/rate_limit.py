"""Rate limits per API key: one token bucket per user."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders

from mmgen.serve import errors
from mmgen.serve.auth import is_api
from mmgen.stores.keys import RateSpec

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from mmgen.serve.context import Caller


@dataclass(frozen=True)
class BucketState:
    """What a bucket said to one request."""

    rate: RateSpec
    left: float  # requests that could follow at once; below 0: refused

    @property
    def allowed(self) -> bool:
        return self.left >= 0

    @property
    def wait(self) -> float:
        """Seconds until one may come again."""
        return max(0.0, -self.left) * self.rate.seconds / self.rate.count

    @property
    def headers(self) -> dict[str, str]:
        """As the OpenAI API names them."""
        left = max(0.0, self.left)
        return {
            "x-ratelimit-limit-requests": str(self.rate.count),
            "x-ratelimit-remaining-requests": str(math.floor(left)),
            "x-ratelimit-reset-requests": _duration((self.rate.count - left) * self.rate.seconds / self.rate.count),
        }


class TokenBuckets:
    """A bucket fills evenly up to its rate's count, and every request takes one out. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[RateSpec, float, float]] = {}  # user -> its rate, what is in, as of when
        self._lock = threading.Lock()

    def take(self, user: str, rate: RateSpec, spare: int = 0) -> BucketState:
        """A refused request takes nothing out. `spare`: what has to be left for others of the user's."""
        with self._lock:
            return self._take(user, rate, spare)

    def _take(self, user: str, rate: RateSpec, spare: int) -> BucketState:
        now = self._clock()
        known, level, then = self._buckets.get(user, (rate, float(rate.count), now))
        if known != rate:
            level, then = float(rate.count), now
        level = min(rate.count, level + (now - then) * rate.count / rate.seconds)
        left = level - 1 - min(spare, rate.count - 1)
        left = level - 1 if left >= 0 else left
        self._buckets[user] = (rate, level if left < 0 else left, now)
        return BucketState(rate, left)


class RateLimit:
    """Answers 429 to calls of the API above their key's rate; says of the others how many are left."""

    def __init__(self, app: ASGIApp, limits: TokenBuckets) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get("state", {}).get("caller")
        if scope["type"] != "http" or caller is None or caller.rate is None or not is_api(scope["path"]):
            await self.app(scope, receive, send)
            return
        taken = self.limits.take(caller.user, caller.rate)

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(taken.headers)
            await send(message)

        if taken.allowed:
            await self.app(scope, receive, tell)
        else:
            why = errors.RetryLater(f"this key may call {taken.rate} and did; wait, or use another", taken.wait)
            await errors.response(why)(scope, receive, tell)


def _duration(seconds: float) -> str:
    """Such as 1m30s or 120ms, as OpenAI writes them."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
