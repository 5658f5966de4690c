import json
from pathlib import Path

from cli_call import Call


def trace(folder: Path) -> Path:
    """Two jobs, each of three quanta, of two users."""
    events = [
        {"name": "draw", "cat": "job", "ph": "b", "id": n, "pid": 1, "tid": 0, "ts": n,
         "args": {"runner": "draw", "key": "k", "user": f"u{n}", "priority": "normal", "due": None, "request": "r",
                  "streams": False, "expected": 3}}
        for n in (1, 2)
    ] + [
        {"name": "draw x2", "cat": "quantum", "ph": "X", "pid": 1, "tid": 1, "ts": 1000 * n, "dur": 10_000,
         "args": {"key": "k", "jobs": [1, 2], "units": [1, 1]}}
        for n in range(3)
    ]  # fmt: skip
    path = folder / "trace.json"
    path.write_text("[\n" + "".join(json.dumps(event) + ",\n" for event in events))
    return path


def test_a_trace_under_other_policies(tmp_path: Path, call: Call) -> None:
    fair, fifo = (call("simulate", str(trace(tmp_path)), "--policy", policy) for policy in ("fair", "fifo"))
    assert fair.code == fifo.code == 0, fair.err + fifo.err
    assert "2 in 3 quanta" in fair.out or "2 in 4 quanta" in fair.out
    assert "2 in 6 quanta" in fifo.out and "over 2 users" in fair.out


def test_mistakes_in_one_line(tmp_path: Path, call: Call) -> None:
    said = call("simulate", str(trace(tmp_path)), "--policy", "fiar")
    assert said.code == 2 and 'there is no policy "fiar" (did you mean "fair"?)' in said.err
    said = call("simulate", str(tmp_path / "none.json"))
    assert said.code == 2 and "does not exist; check the path" in said.err
