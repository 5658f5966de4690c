"""Whether a GPU computes what the CPU does, holds what the ledger says, and how near to its limits it runs: a Markdown report.

python -m benchmarks.gpu_check [--device cuda] [--minutes 9] [--only PART ...] [--report gpu.md] [--small]
Nothing is downloaded: models are the embedded ones and random ones of real shapes. Each part runs in a process of its own and
has a share of the time; what it had found when that was over stands in the report. `--small --device cpu` tests the check.
Ends with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu_check.report import Row, RowWriter, markdown, read

SHARES = {
    "machine": 1, "correctness": 4, "batches": 4, "decoding": 3, "denoising": 5,
    "packed": 2, "memory": 1, "mixed": 6, "training": 6,
}  # fmt: skip
"""Parts, and how much of the time each may take."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", nargs="+", choices=SHARES)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--ends", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        from benchmarks.gpu_check.parts import PARTS, Plan

        PARTS[args.part](Plan(args.device, args.small, args.ends), RowWriter(args.part, args.rows))
        return 0
    began, parts = time.time(), {name: share for name, share in SHARES.items() if args.only is None or name in args.only}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        for number, name in enumerate(parts):
            left = began + 60 * args.minutes - time.time()
            run(args, name, path, max(10.0, left * parts[name] / sum(list(parts.values())[number:])))
        rows = read(path)
    if args.report is not None:
        args.report.write_text(markdown(rows, machine(rows), time.time() - began, args.small), encoding="utf-8")
    failed = sum(row.good is False for row in rows)
    print(f"{len(rows)} rows, {failed} failed, {time.time() - began:.0f} s")
    return int(failed > 0)


def run(args: argparse.Namespace, name: str, path: Path, seconds: float) -> None:
    """A part in a process of its own; that it was killed or failed is a row as well."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--part", name, "--rows", str(path), "--device", args.device]
    command += ["--ends", str(time.time() + seconds), *(["--small"] if args.small else [])]
    out = RowWriter(name, path)
    try:
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=seconds + 15)
    except subprocess.TimeoutExpired:
        out.add("time", f"not done within {seconds:.0f} s", None if args.small else False)
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        out.add("the part itself", f"ended with {done.returncode}: {last}", False)


def machine(rows: list[Row]) -> str:
    card = next((row.figure for row in rows if row.what == "card"), "No GPU")
    version = next((row.figure for row in rows if row.what == "torch"), "")
    return f"{card}; torch {version}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
