"""The worker process: reads tasks from standard input, extracts, writes texts to standard output. Imports parsers on use.

It ends with its parent: at the end of its input it leaves whatever it is doing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

from mmgen.ingest.charset import Unreadable, brief
from mmgen.ingest.extraction import frames, progress
from mmgen.ingest.extraction.limits import Extraction, bounded

Message = tuple[dict[str, Any], bytes]


def main() -> None:
    """Until standard input ends."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    tasks: SimpleQueue[Message] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()
    progress.listen(lambda done, of: frames.send(output, {"done": done, "of": of}))
    while True:
        header, data = tasks.get()
        progress.tell(0, 0)  # it begins: starting a process takes none of its time
        frames.send(output, *done(header, data))
        del data


def done(header: dict[str, Any], data: bytes) -> Message:
    """The answer to a task: a text with its pages and metadata, or why there is none."""
    _limit_memory(header["memory"])
    try:
        text, pages, metadata, layout = extracted(header, data)
        json.dumps(metadata)  # what cannot be sent is this document's fault alone
        packed = b"".join(page.packed for page in layout)
        told = [
            [page.number, page.start, page.end, page.width, page.height, page.recognized, len(page.packed)] for page in layout
        ]
        return {"pages": pages, "metadata": metadata, "layout": told}, packed + text.encode("utf-8", "replace")
    except Unreadable as why:
        return {"unreadable": str(why)}, b""
    except MemoryError:
        return {"memory": True}, b""
    except Exception as why:  # of any parser, about a damaged file
        return {"unreadable": f"is damaged, or of a kind that its reader does not know ({brief(why)}); save it anew"}, b""
    finally:
        _limit_memory(None)


def extracted(header: dict[str, Any], data: bytes) -> Extraction:
    module, _, name = header["target"].partition(":")
    return bounded(getattr(import_module(module), name)(Path(header["path"]), data, **header["options"]), len(data))


def _listen(file: IO[bytes], tasks: SimpleQueue[Message]) -> None:
    with contextlib.suppress(frames.BadFrame):
        while (task := frames.receive(file)) is not None:
            tasks.put(task)
    os._exit(0)


def _limit_memory(most: int | None) -> None:
    """Bytes that the process may hold in its own memory: an allocation beyond fails. The parent watches besides."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard if most is None else most, hard))
