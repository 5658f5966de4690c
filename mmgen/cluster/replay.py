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

SEPARATORS = {"text/event-stream": re.compile(rb"\n\n|\r\n\r\n|\r\r"), "application/x-ndjson": re.compile(rb"\n")}
"""By media type: what stands between two events."""
LONGEST_SEPARATOR = 4
MOST_EVENT = 2**26
"""Bytes of an event: what is no event to its end is held no further."""
DATA = re.compile(rb"(?:\A|[\r\n])data: ?")
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
        self._rest = bytearray()  # the beginning of an event
        self._bytes, self._passed = bytearray(), 0  # of what is no stream
        self.skipped = 0  # events, or bytes of what is no stream

    def again(self) -> None:
        """The request is played from its beginning."""
        self._seen, self._rest, self._passed = {}, bytearray(), 0

    def fresh(self, data: bytes, last: bool = False) -> bytes:
        """What of these bytes the client has not had: whole events; the rest comes with the next, or with the `last`.

        Raises ReplayDiffers, and JobFailed for an event of more than MOST_EVENT bytes.
        """
        if self._separator is None:
            return self._fresh_bytes(data)
        looked_at = max(0, len(self._rest) - LONGEST_SEPARATOR + 1)
        self._rest += data
        fresh, begin = bytearray(), 0
        for found in self._separator.finditer(self._rest, looked_at):
            if self._is_fresh(bytes(self._rest[begin : found.start()])):
                fresh += self._rest[begin : found.end()]
            begin = found.end()
        del self._rest[:begin]
        if len(self._rest) > MOST_EVENT:
            raise JobFailed(f"an event of the replica's answer is over {MOST_EVENT / 2**20:.0f} MiB; ask for less at once")
        if last:
            fresh += self._rest
            self._rest.clear()
        return bytes(fresh)

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
    field = DATA.search(event)
    try:
        told = json.loads(event if field is None else event[field.end() :])
    except (ValueError, RecursionError):
        return ""
    if not isinstance(told, dict):
        return ""
    choices = told.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return str(choices[0].get("index"))
    return str(told.get("index", ""))
