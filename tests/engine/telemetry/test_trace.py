import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.telemetry.trace import Trace, read
from mmgen.errors import BadRequest, NotFound, UnreadableFile

PROGRAM = """
import os, sys, time
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_trace import Counting, work
from mmgen.engine.engine import Engine
from mmgen.engine.telemetry.trace import Trace
engine = Engine({"count": Counting()}, trace=Trace(Path(sys.argv[1])))
work(engine)
os.kill(os.getpid(), 9)
"""


class Counting:
    def key(self, job: Job) -> str:
        return "k" * 100

    def reserve(self, job: Job) -> int:
        return 0

    def step(self, jobs: list[Job]) -> None:
        for job in jobs:
            job.state = (job.state or 0) + 1
            if job.state == job.payload:
                job.finish()

    def release(self, job: Job) -> None:
        pass


def work(engine: Engine) -> None:
    requests = [Request.new("ann", timeout_s=50), Request.new("bob", "batch")]
    handles = [engine.submit(Job("count", 3, request)) for request in requests]
    for handle in handles:
        handle.result(20)
    while engine._loop.active:
        time.sleep(0.001)


def test_every_quantum_and_every_job(tmp_path: Path) -> None:
    path = tmp_path / "new" / "trace.json"
    with Engine({"count": Counting()}, trace=Trace(path)) as engine:
        work(engine)
    events = json.loads(path.read_text())
    assert events[-1] == {}
    begun, ended = ([e for e in events if e.get("ph") == phase] for phase in "be")
    assert [e["args"]["user"] for e in begun] == ["ann", "bob"] and 49e6 < begun[0]["args"]["due"] < 51e6
    assert [(e["args"]["status"], e["args"]["quanta"]) for e in ended] == [("done", 3)] * 2
    assert {e["args"]["request"] for e in begun} == {e["args"]["request"] for e in ended}
    quanta = [e for e in events if e.get("ph") == "X"]
    assert sum(len(e["args"]["jobs"]) for e in quanta) == 6 and all(e["dur"] >= 0 for e in quanta)
    stamps = [e["ts"] for e in quanta]
    assert stamps == sorted(stamps) and len({e["args"]["key"] for e in quanta}) == 1 and len(quanta[0]["args"]["key"]) == 16
    assert [e["args"]["name"] for e in events if e.get("name") == "thread_name"] == ["count"]
    assert read(path) == events


def test_it_survives_as_far_as_it_got(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "t.json"), here], timeout=60, check=False)
    assert done.returncode == -9
    events = read(tmp_path / "t.json")
    assert sum(len(e["args"]["jobs"]) for e in events if e.get("ph") == "X") == 6
    half = (tmp_path / "t.json").read_text()[:-9]
    (tmp_path / "half.json").write_text(half)
    assert read(tmp_path / "half.json") == events[:-1]


def test_what_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="does not exist"):
        read(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("hello\nyou\n")
    with pytest.raises(UnreadableFile, match="line 2, is no event"):
        read(tmp_path / "text.json")
    (tmp_path / "number.json").write_text("[\n7,\n{}]\n")
    with pytest.raises(UnreadableFile, match="something else than events"):
        read(tmp_path / "number.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(tmp_path / "bytes.json")


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="cannot be written"):
        Trace(tmp_path / "file" / "trace.json")


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    trace = Trace(tmp_path / "t.json")
    trace.close()
    trace.close()
    trace.submitted(job := Job("count", None))
    trace.ended(job)
    trace.ended(job)
    assert len(read(tmp_path / "t.json")) == 2
