"""Commands from a cold start, and by a server of this home whose models are loaded: `python benchmarks/start.py`.

Each runs as a process of its own, in a home of its own with assets/sample and docs/screenshots indexed; medians. Beside the
time by a server stands that of the same HTTP call from a process that runs already: what is beyond it is the command's own.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmgen.config import home
from mmgen.serve import port_file
from mmgen.serve.command_client import to

ROOT = Path(__file__).resolve().parents[1]
MMGEN = [sys.executable, "-c", "from mmgen.cli.main import main; main()"]
COLD_S, WARM_S = {"txt2img": 4.0, "rag ask": 3.0, "chat": 4.0}, 0.5


def commands(folder: Path) -> dict[str, tuple[list[str], tuple[str, dict[str, object]]]]:
    """Of each its command line, and the pipeline with the call that it makes of a server."""
    store = {"store": str(folder / "sample")}
    asked, found = "When was the lighthouse of Alexandria built?", str(folder / "a.png")
    drawn = {"prompt": "a red apple", "seed": 1}
    draw, ask = ["txt2img", "a red apple", "--seed", "1", "-o", found], ["--store", store["store"]]
    said = {"seed": 1, "max_tokens": 8}
    return {
        "txt2img": (draw, ("txt2img", {"make": {}, "call": drawn, "kinds": ["image", "images"]})),
        "rag ask": (
            ["rag", "ask", asked, *ask],
            ("rag-text", {"make": store, "call": {}, "first": asked, "kinds": ["answer"]}),
        ),
        "rag search": (
            ["rag", "search", asked, *ask],
            ("rag-search", {"make": store, "call": {}, "first": asked, "kinds": []}),
        ),
        "image search": (
            ["image", "search", "a lamp", *ask],
            ("image-search", {"make": store, "call": {}, "first": "a lamp", "kinds": []}),
        ),
        "embed analogy": (
            ["embed", "analogy", "king", "-", "man", "+", "woman"],
            ("analogy", {"make": {}, "call": {}, "first": "king - man + woman", "kinds": []}),
        ),
        "chat": (
            ["chat", "Say a word.", "--seed", "1", "--max-tokens", "8"],
            ("chat", {"make": {}, "call": said, "first": "Say a word.", "kinds": ["reply"]}),
        ),
    }


@contextmanager
def serving() -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([*MMGEN, "serve", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while port_file.running() is None:
            if server.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server did not start; `mmgen serve` tells why")
            time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait()


def command(line: list[str], *more: str) -> float:
    """Seconds of the whole process. Stops where it fails."""
    began = time.perf_counter()
    done = subprocess.run([*MMGEN, *line, *more], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"mmgen {' '.join(line)}: {done.stderr}")
    return time.perf_counter() - began


def http(pipeline: str, body: dict[str, object]) -> float:
    server = port_file.running()
    assert server is not None
    began, connection = time.perf_counter(), to(server)
    connection.timeout = 600
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {server.token}"}
    connection.request("POST", f"/v1/commands/{pipeline}", json.dumps(body).encode(), headers)
    told = connection.getresponse().read()
    connection.close()
    if b"[DONE]" not in told:
        raise SystemExit(f"{pipeline}: {told.decode()}")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="+", help="commands, such as 'rag search'")
    args = parser.parse_args()
    from setting import setting

    own = home()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ["MMGEN_HOME"] = str(folder / "home")
        for kept in ("models", "precision"):  # what was pulled and measured before
            if (own / kept).is_dir():
                shutil.copytree(own / kept, folder / "home" / kept, symlinks=True)
        wanted = {name: one for name, one in commands(folder).items() if not args.only or name in args.only}
        command(["rag", "add", str(ROOT / "assets" / "sample"), "--store", str(folder / "sample")])
        command(["image", "add", str(ROOT / "docs" / "screenshots"), "--store", str(folder / "sample")])
        print(setting(mmgen="the chosen precision"), f"\nmedians of {args.repeats}")
        cold = {name: [command(line, "--local") for _ in range(1 + args.repeats)][1:] for name, (line, _) in wanted.items()}
        warm, calls = dict[str, list[float]](), dict[str, list[float]]()
        with serving():
            for name, (line, call) in wanted.items():
                http(*call)  # loads the models
                for _ in range(args.repeats):
                    warm.setdefault(name, []).append(command(line))
                    calls.setdefault(name, []).append(http(*call))
    print(f"{'command':15}{'cold':>8}{'warm':>8}{'call':>8}  seconds")
    for name in wanted:
        a, b, c = (statistics.median(one[name]) for one in (cold, warm, calls))
        missed = [f"cold over {COLD_S[name]} s"] if a > COLD_S.get(name, a) else []
        missed += [f"{b - c:.2f} s over the work"] if b - c > WARM_S else []
        print(f"{name:15}{a:8.2f}{b:8.2f}{c:8.2f}  {'; '.join(missed)}")


if __name__ == "__main__":
    main()
