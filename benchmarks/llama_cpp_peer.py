"""llama.cpp's side of llama_cpp.py, in a Python of its own that has llama-cpp-python: requests and answers are lines of JSON.

Knows llama.cpp's C API alone: what llama-cpp-python's own class adds to every token would be counted as llama.cpp's.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama

FTYPES = {"Q8_0": 7, "Q4_0": 2, "Q4_1": 3}


class Model:
    def __init__(self, path: str, threads: int, slots: int, context: int) -> None:
        self.model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
        params = llama.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_seq_max = context, 2048, slots
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        self.context = llama.llama_init_from_model(self.model, params)
        self.words = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.memory = llama.llama_get_memory(self.context)
        self.batch = llama.llama_batch_init(2048, 0, 1)

    def read(self, rows: list[tuple[int, int, int, bool]]) -> None:
        """(token, place, sequence, whether its logits are wanted) of each."""
        batch = self.batch
        batch.n_tokens = len(rows)
        for at, (token, place, sequence, wanted) in enumerate(rows):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, place, 1, wanted
            batch.seq_id[at][0] = sequence
        if llama.llama_decode(self.context, batch):
            raise RuntimeError("llama_decode failed")

    def logits(self, row: int) -> Any:
        import numpy as np

        return np.ctypeslib.as_array(llama.llama_get_logits_ith(self.context, row), (self.words,))

    def best(self, row: int) -> int:
        return int(self.logits(row).argmax())

    def clear(self) -> None:
        llama.llama_memory_clear(self.memory, True)


def prompt(model: Model, ids: list[int]) -> dict[str, Any]:
    """Seconds until the first token is known."""
    model.clear()
    began = time.perf_counter()
    model.read([(token, at, 0, at == len(ids) - 1) for at, token in enumerate(ids)])
    first = model.best(len(ids) - 1)
    return {"seconds": time.perf_counter() - began, "first": first}


def decode(model: Model, ids: list[int], tokens: int) -> dict[str, Any]:
    """Seconds of so many greedy tokens after the prompt and its first."""
    found = [prompt(model, ids)["first"]]
    began = time.perf_counter()
    for at in range(tokens):
        model.read([(found[-1], len(ids) + at, 0, True)])
        found.append(model.best(0))
    return {"seconds": time.perf_counter() - began, "ids": found}


def logits(model: Model, ids: list[int]) -> dict[str, Any]:
    """Of the last place."""
    model.clear()
    model.read([(token, at, 0, at == len(ids) - 1) for at, token in enumerate(ids)])
    return {"logits": model.logits(len(ids) - 1).tolist()}


def many(model: Model, requests: list[tuple[float, list[int], int]]) -> dict[str, Any]:
    """Seconds of (arrival, prompt, tokens) with a slot each: as llama.cpp's server, a pass reads a token of every one under way
    and the prompts that came meanwhile."""
    model.clear()
    began = time.perf_counter()
    waiting = list(enumerate(requests))
    under_way: dict[int, tuple[int, int, int]] = {}  # slot -> its last token, place and how many are still to come
    while waiting or under_way:
        now = time.perf_counter() - began
        rows, ends = [], {}
        for slot, (token, place, _) in under_way.items():
            ends[slot] = len(rows)
            rows.append((token, place, slot, True))
        while waiting and waiting[0][1][0] <= now and len(rows) + len(waiting[0][1][1]) <= 2048:
            slot, (_, ids, tokens) = waiting.pop(0)
            rows += [(token, at, slot, at == len(ids) - 1) for at, token in enumerate(ids)]
            ends[slot] = len(rows) - 1
            under_way[slot] = (0, len(ids) - 1, tokens)
        if not rows:
            time.sleep(0.001)
            continue
        model.read(rows)
        for slot, row in ends.items():
            _, place, left = under_way.pop(slot)
            if left > 1:
                under_way[slot] = (model.best(row), place + 1, left - 1)
    return {"seconds": time.perf_counter() - began}


def quantize(source: str, target: str, kind: str) -> dict[str, Any]:
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = FTYPES[kind], True, 2
    return {"failed": llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))}


def memory() -> dict[str, Any]:
    """Bytes of this process, its mapped file included."""
    with Path("/proc/self/status").open() as file:
        return {"bytes": next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))}


def main() -> None:
    llama.llama_backend_init()
    silent = llama.llama_log_callback(lambda level, text, user: None)
    llama.llama_log_set(silent, ctypes.c_void_p(0))
    model: Any = None
    for line in sys.stdin:
        name, arguments = json.loads(line)
        if name == "load":
            model, answer = Model(*arguments), {}
        elif name in ("quantize", "memory"):
            answer = {"quantize": quantize, "memory": memory}[name](*arguments)
        else:
            answer = {"prompt": prompt, "decode": decode, "logits": logits, "many": many}[name](model, *arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
