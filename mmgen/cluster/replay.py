"""What a client has had of a stream, so that the request can be played again elsewhere and go on where it was.

A request with a seed gives the same tokens and pixels on any replica, alone or in company. So what was sent is compared with
what comes again, and left out: by events, since answers of a request that are written side by side may come in another order.
What is compared leaves out times and random ids. If it differs, the stream cannot go on, and says so: two replicas of other
hardware or another version compute other numbers.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from hashlib import blake2b

from mmgen.errors import JobFailed

SEPARATORS = {"text/event-stream": b"\n\n", "application/x-ndjson": b"\n"}
"""By media type: what stands between two events."""
CHANGING = re.compile(rb'"(?:created|created_at)":\s*[^,}]+|call_[0-9a-f]{24}|"\w+_duration":\s*\d+')
"""Parts of an event that no two runs have in common."""


class ReplayDiffers(JobFailed):
    """Another replica computed something else than what was sent already."""


class StreamReplay:
    """One answer on its way to a client, over all replicas that it comes from."""

    def __init__(self, media_type: str) -> None:
        """Of another media type than a stream's, bytes are compared as they are."""
        self._separator = SEPARATORS.get(media_type.partition(";")[0])
        self._sent: dict[str, list[bytes]] = defaultdict(list)  # lane -> digests of its events
        self._seen: dict[str, int] = {}  # lane -> events that came in this play
        self._rest = b""  # the beginning of an event
        self._bytes, self._passed = bytearray(), 0  # of what is no stream
        self.skipped = 0  # events, or bytes of what is no stream

    def again(self) -> None:
        """The request is played from its beginning."""
        self._seen, self._rest, self._passed = {}, b"", 0

    def fresh(self, data: bytes, last: bool = False) -> bytes:
        """What of these bytes the client has not had: whole events; the rest comes with the next, or with the `last`.

        Raises ReplayDiffers.
        """
        if self._separator is None:
            return self._fresh_bytes(data)
        *events, self._rest = (self._rest + data).split(self._separator)
        if last and self._rest:
            events, self._rest = [*events, self._rest], b""
            return b"".join(one + self._separator for one in events[:-1] if self._is_fresh(one)) + events[-1]
        return b"".join(one + self._separator for one in events if self._is_fresh(one))

    def _fresh_bytes(self, data: bytes) -> bytes:
        known = bytes(self._bytes[self._passed : self._passed + len(data)])
        if data[: len(known)] != known:
            raise _differs()
        self._passed += len(data)
        self._bytes += data[len(known) :]
        self.skipped += len(known)
        return data[len(known) :]

    def _is_fresh(self, event: bytes) -> bool:
        lane = _lane(event)
        place = self._seen.get(lane, 0)
        self._seen[lane] = place + 1
        digest = blake2b(CHANGING.sub(b"", event), digest_size=8).digest()
        sent = self._sent[lane]
        if place == len(sent):
            sent.append(digest)
            return True
        if sent[place] != digest:
            raise _differs()
        self.skipped += 1
        return False


def _differs() -> ReplayDiffers:
    return ReplayDiffers("the replica that goes on computes another answer than the one that died; send the request again")


def _lane(event: bytes) -> str:
    """Which of the answers that a stream holds side by side an event is of."""
    _, found, text = event.rpartition(b"data: ")
    try:
        told = json.loads(text if found else event)
    except ValueError:
        return ""
    if not isinstance(told, dict):
        return ""
    choices = told.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return str(choices[0].get("index"))
    return str(told.get("index", ""))
