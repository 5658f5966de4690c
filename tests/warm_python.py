"""Processes that start warm: each is forked from one that has imported the large libraries, and nothing of mmgen.

`python` and `mmgen` of `commands(...)` take what the real ones take here, `-c`, `-m` or a file, with the caller's folder,
environment and streams, and end with the same exit code. Python's own start and those imports are what they leave out.
"""

import array
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = (
    "torch", "numpy", "faiss", "yaml", "tokenizers", "pydantic", "typer", "rich.console", "PIL.Image", "asyncio", "regex"
)  # fmt: skip
CLIENT = """#!{python} -ISB
import array, json, os, signal, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    server.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    words = {words!r} + sys.argv[1:]
    server.sendall(json.dumps({{"words": words, "cwd": os.getcwd(), "environment": dict(os.environ)}}).encode())
    server.shutdown(socket.SHUT_WR)
    told = server.makefile()
    child = int(told.readline())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    code = int(told.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


@contextmanager
def commands(folder: Path) -> Iterator[Path]:
    """A folder with `python` and `mmgen` for the front of PATH, as long as the block lasts."""
    place = folder / "socket"
    for name, words in (("python", []), ("mmgen", [str(Path(sys.executable).with_name("mmgen"))])):
        (folder / name).write_text(CLIENT.format(python=sys.executable, place=str(place), words=words))
        (folder / name).chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # a command brings its own
    with subprocess.Popen([sys.executable, __file__, str(place)], env=environment) as server:
        while not place.exists():
            assert server.poll() is None
            time.sleep(0.01)
        yield folder
        server.terminate()


def serve(place: str) -> Callable[[], Any]:
    """Returns in each child, with what it shall do; the parent goes on until it is ended."""
    for name in LIBRARIES:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who attend to a command
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{place}.new")
    listener.listen()
    Path(f"{place}.new").rename(place)
    while True:
        caller, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return attend(caller)
        caller.close()


def attend(caller: socket.socket) -> Callable[[], Any]:
    """Returns in the child that is the command; the one that waits for it tells the caller how it ended."""
    _, ancillary, _, _ = caller.recvmsg(1, socket.CMSG_SPACE(12))
    streams = array.array("i", ancillary[0][2])
    asked = json.loads(b"".join(iter(lambda: caller.recv(1 << 16), b"")))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        caller.sendall(f"{child}\n".encode())
        caller.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
        os._exit(0)
    caller.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return command(asked["words"], asked["cwd"], asked["environment"])


def command(words: list[str], cwd: str, environment: dict[str, str]) -> Callable[[], Any]:
    """What `python WORDS` does, in that folder and environment."""
    os.chdir(cwd)
    told = environment.get("PYTHONPATH", "").split(os.pathsep)
    first = "" if words[0] in ("-c", "-m") else str(Path(words[0]).parent)
    sys.path[:] = [first, *filter(None, told), *(path for path in sys.path[1:] if path not in told)]
    os.environ.clear()
    os.environ.update(environment)
    kind, *rest = words
    if kind == "-c":
        main = ModuleType("__main__")
        sys.modules["__main__"], sys.argv = main, ["-c", *rest[1:]]
        return lambda: exec(compile(rest[0], "<string>", "exec"), vars(main))
    if kind == "-m":
        sys.argv = rest
        return lambda: runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    sys.argv = words
    return lambda: runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])()
