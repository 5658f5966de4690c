"""llama.cpp and mmgen on the same GGUF files, on the same machine in the same run, two threads each; ratios last.

python benchmarks/llama_cpp.py [FILE.gguf] [--python PATH] [--repeats 5] [--tokens 64] [--kinds Q4_1 Q8_0 Q4_0] [--parts ...]
FILE: default embedded:smollm2's. llama.cpp itself rounds it to the other types. --python: one that has llama-cpp-python;
without it one is built in a virtual environment, which takes seven minutes or more.

decode: greedy tokens after a prompt of 32; as nobody else waits, our engine computes several of them a quantum. prompt: 256
tokens until the first token is known. many: 16 chats that arrive over two seconds, with a slot for each; the last comes after
1.99 s and has 53 tokens, so that an engine that took no time at all would reach 487 tokens/s. llama.cpp's side is a loop over
its C API, without HTTP, as ours is. memory: what a process that decoded has beyond all imports, the tokenizer and the template:
its own memory, and all that is resident. logits: the largest difference to transformers' on the dequantized weights, of both.
a8 is mmgen with inputs in int8, as llama.cpp has them. Both processes stay; each way takes its turn, and medians are quoted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.lm import language_model
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.runners.generation import TextRequest, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import TextParams

THREADS = 2
KINDS = ("Q4_1", "Q8_0", "Q4_0")
CMAKE = "-DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
if torch.cpu._is_avx512_supported():
    CMAKE += " -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_AVX512_VBMI=ON"
VERSION = "0.3.36"
PROMPT = 256
__all__ = ["ChatTemplate", "Tokenizer"]  # what `alone` measures without
NOTHING = Vocabulary(lambda ids: "x" * len(ids), frozenset())


class Peer:
    """llama.cpp in a process of its own."""

    def __init__(self, python: str) -> None:
        script = Path(__file__).with_name("llama_cpp_peer.py")
        own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}  # passive, it is half as fast
        self.process = subprocess.Popen(
            [python, "-P", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own
        )

    def __call__(self, name: str, *arguments: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


class Ours:
    """A file in our text runner, with the engine's thread."""

    def __init__(self, engine: Engine, path: Path, name: str, precision: str = "", tokenizer: bool = True) -> None:
        """`tokenizer`: False leaves it and the template out, where memory is counted that others have been counted for."""

        def load() -> LanguageModel:
            if tokenizer:
                lm = TextModel.load(path, precision=precision).lm
            else:
                lm = language_model.load(path, dtype=torch.float32, packed=True).eval()
            lm.pack()
            return lm

        self.engine, self.name = engine, name
        self.lm = engine.call(load)
        engine.add_runner(name, TextRunner(self.lm, NOTHING, memory=1 << 30))

    def write(self, ids: list[int], tokens: int) -> list[int]:
        request = TextRequest(ids, TextParams(strategy="greedy", max_tokens=tokens))
        return list(self.engine.submit(Job(self.name, request, seed=0)).result(600).texts[0].ids)

    def decode(self, ids: list[int], tokens: int) -> float:
        """Seconds of tokens after the first; prompts are known by then, so that only decoding is measured."""
        self.write(ids, 1)
        began = time.perf_counter()
        self.write(ids, 1)
        first = time.perf_counter() - began
        began = time.perf_counter()
        self.write(ids, tokens + 1)
        return time.perf_counter() - began - first

    def prompt(self, ids: list[int]) -> float:
        began = time.perf_counter()
        self.write(ids, 1)
        return time.perf_counter() - began

    def many(self, requests: list[tuple[float, list[int], int]]) -> float:
        began, handles = time.perf_counter(), []
        for arrival, ids, tokens in requests:
            time.sleep(max(0.0, arrival - (time.perf_counter() - began)))
            request = TextRequest(ids, TextParams(strategy="greedy", max_tokens=tokens))
            handles.append(self.engine.submit(Job(self.name, request, seed=0)))
        for handle in handles:
            handle.result(600)
        return time.perf_counter() - began


def built(folder: Path) -> str:
    """A Python that has llama-cpp-python, compiled from source."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--no-binary", "llama-cpp-python", f"llama-cpp-python=={VERSION}"]
        subprocess.run(command, check=True, env={**os.environ, "CMAKE_ARGS": CMAKE})
    return str(python)


def fresh(count: int, words: int) -> list[int]:
    """Random ids: a prompt that is known would not be read."""
    draw = random.Random(time.perf_counter_ns())
    return [draw.randrange(100, words) for _ in range(count)]


def medians(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Of each, by turns; the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, work in ways.items():
            found[name].append(work())
    return {name: statistics.median(values[1:]) for name, values in found.items()}


def chats(words: int) -> list[tuple[float, list[int], int]]:
    draw = random.Random(3)
    arrivals = sorted(draw.uniform(0, 2) for _ in range(16))
    return [(arrival, fresh(draw.randrange(24, 160), words), draw.randrange(24, 96)) for arrival in arrivals]


def reference(path: Path, ids: list[int]) -> torch.Tensor:
    """transformers on the dequantized weights."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, -1]  # type: ignore[no-any-return]


def last(own: Ours, ids: list[int]) -> torch.Tensor:
    """Logits after these."""
    return own.lm(torch.tensor([ids]))[0, -1]  # type: ignore[no-any-return]


def alone(path: Path) -> tuple[int, int, int]:
    """Bytes of a process that loads the file and decodes, less those that it has with all imports and the tokenizer: resident
    ones, then those that are its own, without pages of libraries that it touched first. Last what keys and values take of both.
    """
    code = (
        "import sys; from pathlib import Path; import benchmarks.llama_cpp as b, gguf\n"
        "size = lambda kind: next(int(l.split()[1]) * 1024 for l in open('/proc/self/status') if l.startswith(kind + ':'))\n"
        "b.torch.set_num_threads(2)\n"
        "with b.Engine({}) as engine:\n"
        "    path = Path(sys.argv[1])\n"
        "    kept = b.Tokenizer.of(path), b.ChatTemplate.of(path)\n"
        "    before = [size(kind) for kind in ('VmRSS', 'RssAnon')]; ours = b.Ours(engine, path, 'own', tokenizer=False)\n"
        "    ours.write(list(range(100, 132)), 32)\n"
        "    print(*(size(kind) - had for kind, had in zip(('VmRSS', 'RssAnon'), before)), 64 * ours.lm.kv_bytes_per_token)"
    )
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, capture_output=True, text=True, check=True)
    resident, own, cache = map(int, run.stdout.split()[-3:])
    return resident, own, cache


def measure(files: dict[str, Path], python: str, args: argparse.Namespace) -> list[str]:
    lines = list[str]()
    peers = {kind: Peer(python) for kind in files}
    for kind, peer in peers.items():
        peer("load", str(files[kind]), THREADS, 16, 8192)
    with Engine({}) as engine:
        ours = {kind: Ours(engine, files[kind], kind) for kind in files}
        rounding = {kind: Ours(engine, files[kind], f"{kind}#a8", "a8") for kind in files}
        sides = {"mmgen": ours, "mmgen a8": rounding}
        words = next(iter(ours.values())).lm.config.vocab_size
        for part, target in (("decode", "2x"), ("prompt", "4x"), ("many", "3x")):
            if part in args.parts:
                ways: dict[str, Callable[[], float]] = {}
                for kind in files:
                    ways[f"llama.cpp {kind}"] = partial(theirs_of, part, peers[kind], words, args.tokens)
                    ways |= {
                        f"{side} {kind}": partial(ours_of, part, own[kind], words, args.tokens) for side, own in sides.items()
                    }
                lines += compared(part, medians(ways, args.repeats), target)
        if "logits" in args.parts:
            ids = fresh(64, words)
            for kind, path in files.items():
                expected = reference(path, ids)
                with torch.inference_mode():
                    mine, rounded = (engine.call(partial(last, own[kind], ids)) for own in sides.values())
                theirs = torch.tensor(peers[kind]("logits", ids)["logits"])
                off = [f"{(one - expected).abs().max().item():.1e}" for one in (mine, rounded, theirs)]
                lines.append(
                    f"logits, {kind}: mmgen {off[0]}, a8 {off[1]}, llama.cpp {off[2]} from transformers' (target 1e-3)"
                )
    if "memory" in args.parts:
        for kind, path in files.items():
            (resident, own, cache), size = alone(path), path.stat().st_size
            theirs = peers[kind]("memory")["bytes"]
            lines.append(
                f"memory, {kind}: mmgen {own / 1e6:.0f} MB of its own beyond imports and tokenizer, {cache / 1e6:.0f} MB of it "
                f"keys and values ({resident / 1e6:.0f} MB with pages of libraries that it touches), llama.cpp "
                f"{theirs / 1e6:.0f} MB in all, of a file of {size / 1e6:.0f} MB: {(own - cache) / size:.2f}x, resident "
                f"{(resident - cache) / size:.2f}x (target 1.15x and the KV cache)"
            )
    for peer in peers.values():
        peer.close()
    return lines


def theirs_of(part: str, peer: Peer, words: int, tokens: int) -> float:
    """Tokens a second."""
    if part == "many":
        requests = chats(words)
        return sum(count for _, _, count in requests) / float(peer("many", requests)["seconds"])
    if part == "prompt":
        return PROMPT / float(peer("prompt", fresh(PROMPT, words))["seconds"])
    return tokens / float(peer("decode", fresh(32, words), tokens)["seconds"])


def ours_of(part: str, own: Ours, words: int, tokens: int) -> float:
    """Tokens a second."""
    if part == "many":
        requests = chats(words)
        return sum(count for _, _, count in requests) / own.many(requests)
    return PROMPT / own.prompt(fresh(PROMPT, words)) if part == "prompt" else tokens / own.decode(fresh(32, words), tokens)


def compared(part: str, found: dict[str, float], target: str) -> list[str]:
    for name, value in found.items():
        print(f"  {part}, {name:16} {value:7.1f} tokens/s", flush=True)
    theirs = {name.split()[-1]: value for name, value in found.items() if name.startswith("llama")}
    best = max(theirs.values())
    return [
        f"{part}, {name}: {value / theirs[name.split()[-1]]:.2f}x llama.cpp's of that type, {value / best:.2f}x its best "
        f"(target {target})"
        for name, value in found.items()
        if not name.startswith("llama")
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--python", default="")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parts = ["decode", "prompt", "many", "logits", "memory"]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        python = args.python or built(Path.home() / ".cache" / "mmgen-llama-cpp")
        source = args.file or embedded()
        files = {kind: source if kind in source.name else Path(folder) / f"{source.stem}-{kind}.gguf" for kind in args.kinds}
        peer = Peer(python)
        for kind, path in files.items():
            if path != source and peer("quantize", str(source), str(path), kind)["failed"]:
                raise SystemExit(f"llama.cpp does not round {source} to {kind}")
        peer.close()
        print("\n".join(measure(files, python, args)))


def embedded() -> Path:
    from mmgen import hub

    path = hub.resolve("embedded:smollm2")
    return path if path.is_file() else next(path.glob("*.gguf"))


if __name__ == "__main__":
    main()
