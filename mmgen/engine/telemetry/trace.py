"""Every quantum in a file, in Chrome's trace format, for trace viewers and for the simulator.

The JSON array format of Chrome's traces, an event a line: the closing bracket may be missing, so that a trace is whole as far
as it got. A quantum is a complete event ("X") in its runner's row, with the quanta of others inside it ("away", microseconds of
its duration) in theirs; a job lasts from "b" to "e".
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Hashable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmgen.engine.job import Job
from mmgen.errors import BadRequest, NotFound, UnreadableFile


class Trace:
    """Appends to a new file; times are microseconds since it was opened."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8", buffering=1)  # a line at a time
        except OSError as why:
            raise BadRequest(f"trace {path} cannot be written ({why.strerror}); give another path") from None
        self.path, self._began = path, time.monotonic()
        self._lock = threading.Lock()
        self._numbers: dict[Job, int] = {}
        self._next = 0
        self._rows: dict[str, int] = {}
        self._file.write("[\n")
        self._write({"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "mmgen"}})

    def submitted(self, job: Job) -> None:
        with self._lock:
            self._numbers[job] = self._next = self._next + 1
        request = job.request
        due = None if request.deadline is None else round(1e6 * (request.deadline - self._began))
        about = {
            "runner": job.runner, "key": _name(job.key), "user": request.user, "priority": request.priority, "due": due,
            "request": request.id, "streams": job.streams, "pauses": job.pauses, "expected": job.expected_quanta,
        }  # fmt: skip
        self._job(job, "b", about)

    def quantum(self, jobs: Sequence[Job], began: float, milliseconds: float, away: float = 0.0) -> None:
        """`began`: time.monotonic() seconds; `away`: milliseconds besides, of others inside it."""
        runner = jobs[0].runner
        row = self._rows.get(runner)
        if row is None:
            row = self._rows[runner] = len(self._rows) + 1
            self._write({"name": "thread_name", "ph": "M", "pid": 1, "tid": row, "args": {"name": runner}})
        args: dict[str, Any] = {
            "key": _name(jobs[0].key),
            "jobs": [self._numbers.get(job, 0) for job in jobs],
            "units": [job.units for job in jobs],
        }
        if away:
            args["away"] = round(1000 * away, 1)
        name = f"{runner} x{len(jobs)}"
        self._write({
            "name": name, "cat": "quantum", "ph": "X", "pid": 1, "tid": row, "ts": self._at(began),
            "dur": round(1000 * (milliseconds + away), 1), "args": args,
        })  # fmt: skip

    def ended(self, job: Job) -> None:
        if job in self._numbers:
            self._job(job, "e", {"status": job.status, "quanta": job.quanta, "request": job.request.id})
            with self._lock:
                del self._numbers[job]

    def close(self) -> None:
        with self._lock:
            if not self._file.closed:
                self._file.write("{}]\n")
                self._file.close()

    def _job(self, job: Job, phase: str, args: dict[str, Any]) -> None:
        event = {"name": job.runner, "cat": "job", "ph": phase, "id": self._numbers[job], "pid": 1, "tid": 0}
        self._write({**event, "ts": self._at(time.monotonic()), "args": args})

    def _at(self, moment: float) -> float:
        return round(1e6 * (moment - self._began), 1)

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps(event, separators=(",", ":"), allow_nan=False, default=str) + ",\n"
        with self._lock:
            if not self._file.closed:
                self._file.write(line)


def read(path: Path) -> list[dict[str, Any]]:
    """The events of a trace, also of one that breaks off. Raises NotFound or UnreadableFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(f"trace {path} does not exist; check the path") from None
    except (OSError, UnicodeDecodeError) as why:
        raise UnreadableFile(f"trace {path} cannot be read ({why}); it should be Chrome trace JSON") from None
    events = []
    for number, line in enumerate(text.removeprefix("[\n").splitlines(), 2):
        try:
            events.append(json.loads(line.removesuffix("]").removesuffix(",")))
        except ValueError:
            if number <= text.count("\n"):  # only the last line may break off
                raise UnreadableFile(f"trace {path}, line {number}, is no event; give a trace that mmgen wrote") from None
    if not all(isinstance(event, dict) for event in events):
        raise UnreadableFile(f"trace {path} holds something else than events; give a trace that mmgen wrote")
    return events


def _name(key: Hashable) -> str:
    """A key as text, the same for equal keys; long ones by their digest."""
    text = repr(key)
    return text if len(text) <= 80 else blake2b(text.encode(), digest_size=8).hexdigest()
