"""The HTTP server under load, what HTTP costs, and `transformers serve` on the same weights in one run; ratios last.

python benchmarks/serve.py [--parts load overhead peers dialects gguf] [--clients 64] [--calls 4] [--tokens 48] [--repeats 3]
    [--short] [--llama-cpp PYTHON]
Clients are threads of a process of their own; the server runs here, on the embedded models, with its usual settings.

load: every client makes its calls one after another: streamed chats, images and embeddings, mixed. No call may fail or get
lost. Queueing is a job's time from submission to its end beyond what it takes alone. It is compared at 99 % with what the
engine's estimate said at submission, which learns what those who come later mean, and with the simulator, which plays the same
arrivals again by the costs that the engine's model learned before the load.
overhead: the same streamed chats, and images, by HTTP and by calling the pipelines in this process, in turn.
peers: a random Llama in a folder, chats of `transformers serve` (one by one, and with its continuous batching) and ours; it has
no embeddings, so that those are compared with a server of ten lines over sentence-transformers (serve_peer.py).
dialects: as load, in every API there is: chats by Chat Completions, Responses, Anthropic and Ollama with embedded:smollm2,
images by OpenAI's and A1111's, embeddings.
gguf: 16 clients that stream from embedded:smollm2's file, ours while two more draw images, and `python -m llama_cpp.server` of
another environment (--llama-cpp), which draws none and answers one by one. Both get the tokens that they sent last.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Job
from mmgen.engine.scheduling.forecast import CompletionEstimate
from mmgen.engine.telemetry import simulator
from mmgen.engine.telemetry.trace import Trace, read
from mmgen.pipelines.factory import pipeline
from mmgen.plugins import registry
from mmgen.runtime import Runtime
from mmgen.serve import http_server
from mmgen.serve.app import create_app
from mmgen.serve.settings import ServeConfig

HERE = Path(__file__).parent
TEXT = "The lamp was first lit in 1823, and could be seen from thirty kilometres in clear weather."
CHAT, DRAW, EMBED = "/v1/chat/completions", "/v1/images/generations", "/v1/embeddings"
SPECIAL = ["<s>", "<pad>", "<|user|>", "<|assistant|>"]
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}<|assistant|>"
PATIENCE = 180
"""Seconds that a peer has to start, and for its part."""


def chat(model: str, words: str, tokens: int, stream: bool = True) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": tokens, "stream": stream}
    return {"path": CHAT, "body": {**body, "temperature": 0.8, "seed": 1}}


def image(words: str) -> dict[str, Any]:
    return {"path": DRAW, "body": {"prompt": words, "model": "embedded:emoji", "response_format": "b64_json"}}


def embed(texts: Sequence[str]) -> dict[str, Any]:
    return {"path": EMBED, "body": {"input": list(texts), "model": "embedded:minilm"}}


def talk(path: str, words: str, tokens: int) -> dict[str, Any]:
    """A streamed chat in the dialect of that path."""
    body: dict[str, Any] = {"model": "embedded:smollm2", "stream": True}
    said = [{"role": "user", "content": words}]
    if path == "/v1/responses":
        return {"path": path, "body": {**body, "input": words, "max_output_tokens": tokens}, "ends": '"usage":{'}
    if path == "/v1/messages":
        return {"path": path, "body": {**body, "messages": said, "max_tokens": tokens}, "ends": "message_stop"}
    if path == "/api/chat":
        return {"path": path, "body": {**body, "messages": said, "options": {"num_predict": tokens}}, "ends": '"done":true'}
    return {"path": path, "body": {**body, "messages": said, "max_tokens": tokens}}


TALKS = (CHAT, "/v1/responses", "/v1/messages", "/api/chat")


def ask(
    port: int, clients: Sequence[Sequence[dict[str, Any]]], seconds: float | None = None
) -> tuple[list[dict[str, Any]], float]:
    """What came of all calls, and the seconds of the slowest client; no call begins after `seconds`."""
    plan = json.dumps({"port": port, "clients": clients} | ({} if seconds is None else {"seconds": seconds}))
    done = subprocess.run([sys.executable, HERE / "serve_client.py"], input=plan, capture_output=True, text=True, check=True)
    results = json.loads(done.stdout)
    took = max(sum(one.get("seconds", 0.0) for one in client) for client in results)
    return [one for client in results for one in client], took


def seconds(port: int, clients: Sequence[Sequence[dict[str, Any]]]) -> float:
    """Of the slowest client."""
    return ask(port, clients)[1]


@contextmanager
def served(rt: Runtime, **settings: Any) -> Iterator[int]:
    """The port of our server over that runtime."""
    listener = http_server.listen("127.0.0.1", 0)
    server = http_server.server(create_app(rt, ServeConfig(**settings)))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Foreseen:
    """Notes what the engine's estimate says of every job that is submitted."""

    def __init__(self, rt: Runtime) -> None:
        self.engine, self._submit = rt.engine, rt.engine.submit
        self.jobs: list[tuple[Job, CompletionEstimate | None]] = []
        rt.engine.submit = self  # type: ignore[assignment,method-assign]

    def __call__(self, job: Job) -> Any:
        estimate = None if job.runner == "call" else self.engine.estimate(job)
        handle = self._submit(job)
        self.jobs.append((job, estimate))
        return handle

    def queueing(self) -> tuple[list[float], list[float]]:
        """Seconds: as it was, and as it was foreseen."""
        known = [(job, one) for job, one in self.jobs if one is not None and job.status == "done"]
        was = [max(0.0, (job.ended or 0.0) - (job.submitted or 0.0) - one.alone) for job, one in known]
        return was, [one.expected - one.alone for _, one in known]


def late(values: Sequence[float]) -> float:
    """At 99 %."""
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]


def mixed(args: argparse.Namespace, mark: str = "") -> list[list[dict[str, Any]]]:
    def one(client: int, number: int) -> dict[str, Any]:
        kind = (client + number) % 3
        if kind == 0:
            return chat("embedded:books", f"{TEXT} {client} {number} {mark}", args.tokens)
        return image(f"a red lamp, number {client}") if kind == 1 else embed([f"{TEXT} {n} {client}" for n in range(8)])

    return [[one(client, number) for number in range(args.calls)] for client in range(args.clients)]


def load(args: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        with Runtime(RuntimeConfig(home=Path(folder) / "home", trace=trace)) as rt, served(rt) as port:
            ask(port, mixed(args, "warm"))  # costs are learned in such company as comes
            recorder = next(one for one in rt.engine.observers if isinstance(one, Trace))
            began = 1e6 * (time.monotonic() - recorder._began)
            foreseen = Foreseen(rt)
            clients = mixed(args)
            results, took = ask(port, clients)
            under_way = rt.engine.stats()["running"] + rt.engine.stats()["queued"]
            before = [one for one in read(trace) if one.get("ts", 0) < began]
        events = [one for one in read(trace) if one.get("ts", 0) >= began]
    calls, bad = sum(map(len, clients)), [one for one in results if not one["done"]]
    slowest = max(one.get("seconds", 0) for one in results)
    print(f"  load, {calls} calls of {args.clients} clients in {took:.1f} s; the slowest took {slowest:.1f} s")
    for one in bad[:5]:
        print(f"  load, failed: {one['status']} {one['answer']}")
    was, said = map(late, foreseen.queueing())
    ends = late([(job.ended or 0) - (job.submitted or 0) for job, _ in foreseen.jobs if job.status == "done"])
    played = late(simulated(before, events))
    return [
        f"load, errors: {len(bad)} (target 0)",
        f"load, lost: {calls - len(results) + under_way} (target 0)",
        f"load, queueing at 99 %: {was:.2f} s; by the estimate at submission {said:.2f} s: "
        f"{said / was:.2f} (target 0.75 to 1.25)",
        f"load, submission to end at 99 %: {ends:.2f} s; by the cost model, played over the same arrivals, {played:.2f} s: "
        f"{played / ends:.2f} (target 0.75 to 1.25)",
    ]


def dialects(args: argparse.Namespace) -> list[str]:
    def one(client: int, number: int) -> dict[str, Any]:
        kind = (client + number) % 7
        if kind < len(TALKS):
            return talk(TALKS[kind], f"What is the number {client} good for?", args.tokens)
        if kind == 4:
            return {"path": "/sdapi/v1/txt2img", "body": {"prompt": f"a red lamp, number {client}", "steps": 10}}
        return image(f"a red lamp, number {client}") if kind == 5 else embed([f"{TEXT} {n} {client}" for n in range(8)])

    clients = [[one(client, number) for number in range(args.calls)] for client in range(args.clients)]
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder))) as rt, served(rt) as port:
        results, took = ask(port, clients)
        under_way = rt.engine.stats()["running"] + rt.engine.stats()["queued"]
    calls, bad = sum(map(len, clients)), [one for one in results if not one["done"]]
    print(f"  dialects, {calls} calls of {args.clients} clients in {took:.1f} s")
    for failed in bad[:5]:
        print(f"  dialects, failed: {failed['status']} {failed['answer']}")
    return [f"dialects, errors: {len(bad)} (target 0)", f"dialects, lost: {calls - len(results) + under_way} (target 0)"]


def gguf(args: argparse.Namespace) -> list[str]:
    if args.llama_cpp is None:
        return ["gguf, not run: --llama-cpp names the Python of an environment with llama-cpp-python[server]"]
    file, count, drawing = str(hub.resolve("embedded:smollm2")), 16, 2

    def said(n: int, mark: str) -> list[dict[str, Any]]:
        body = {"prompt": f"{mark} The {n}th tale of the sea. Once upon a time", "max_tokens": 2 * args.tokens, "stream": True}
        return [{"path": "/v1/completions", "body": {**body, "model": "smollm2", "temperature": 0.0}}]

    def measured(port: int, beside: Sequence[Sequence[dict[str, Any]]] = ()) -> tuple[float, float]:
        """Tokens a second and seconds to the first one at 99 %, of those who stream; the medians of the repeats."""
        speeds, firsts = list[float](), list[float]()
        for repeat in range(args.repeats + 1):
            results, _ = ask(port, [*(said(n, str(repeat)) for n in range(count)), *beside])
            texts = [one for one in results if one.get("events")][:count]
            if failed := [one for one in results if not one["done"]]:
                print(f"  gguf, {len(failed)} of {len(results)} calls failed: {failed[0]}")
            speeds.append(sum(one["events"] for one in texts) / max(one["seconds"] for one in texts))
            firsts.append(late([one["first"] for one in texts]))
        return statistics.median(speeds[1:]), statistics.median(firsts[1:])

    with (
        tempfile.TemporaryDirectory() as folder,
        Runtime(RuntimeConfig(home=Path(folder))) as rt,
        served(rt, models=(f"smollm2={file}",)) as port,
    ):
        alone = measured(port)
        ours = measured(port, [[image("a red lamp")] * 4] * drawing)
    command = (args.llama_cpp, "-m", "llama_cpp.server", "--model", file, "--model_alias", "smollm2", "--n_ctx", "2048")
    command += ("--interrupt_requests", "False")  # else a call ends the one before it
    with process(*command, "--n_threads", "2", "--n_threads_batch", "2", "--port", "PORT", ready="/v1/models") as port:
        theirs = measured(port)
    for name, (speed, first) in (("mmgen, alone", alone), ("mmgen, beside images", ours), ("llama_cpp.server", theirs)):
        print(f"  gguf, {name:22} {speed:7.1f} tokens a second, first token at 99 % {first:6.2f} s")
    return [
        f"gguf, tokens of {count} clients, mmgen beside images / llama_cpp.server: {ours[0] / theirs[0]:.2f}x (target 2x)",
        f"gguf, first token at 99 %, mmgen beside images / llama_cpp.server: {ours[1] / theirs[1]:.2f} (target 0.5)",
    ]


def simulated(before: Sequence[dict[str, Any]], events: Sequence[dict[str, Any]]) -> list[float]:
    """Seconds from submission to end of the jobs of `events`, by what quanta cost `before`."""
    known, learned = simulator.arrivals(before)
    coming, own = simulator.arrivals(events)
    runners = {one.runner for one in known}

    def cost(runner: str, key: str, size: int) -> float:
        return (learned if runner in runners else own)(runner, key, size)

    moved = [replace(one, at=one.at - coming[0].at) for one in coming]
    out = simulator.play(moved, cost, registry().policies.get("fair"), RuntimeConfig().max_gap_ms)
    return [seconds for values in out.turnaround.values() for seconds in values]


def in_turn(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median seconds that each says it took; the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, work in ways.items():
            times[name].append(work())
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def threads(count: int, work: Callable[[int], Any]) -> float:
    started = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    began = time.perf_counter()
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return time.perf_counter() - began


def overhead(args: argparse.Namespace) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder))) as rt, served(rt) as port:
        talk = pipeline("chat", runtime=rt, model="embedded:books")
        draw = pipeline("txt2img", runtime=rt, model="embedded:emoji")
        tokens = 2 * args.tokens

        def drawn(n: int) -> None:
            draw("a red lamp")

        def said(n: int) -> None:
            list(talk.stream(f"{TEXT} {n}", max_tokens=tokens, temperature=0.8, top_p=1.0, seed=1))

        for count in (1, 8):
            prompts = [[chat("embedded:books", f"{TEXT} {n}", tokens)] for n in range(count)]
            times = in_turn({"inside": partial(threads, count, said), "HTTP": partial(seconds, port, prompts)}, args.repeats)
            inside, more = times["inside"], times["HTTP"] / times["inside"] - 1
            each = f"{1000 * more * inside / tokens:+.3f} ms of {1000 * inside / tokens:.2f}"
            lines.append(f"overhead, a token of {count} at once: {more:+.1%} ({each}; target 5%)")
        ways = {"inside": partial(threads, 1, drawn), "HTTP": partial(seconds, port, [[image("a red lamp")]])}
        times = in_turn(ways, args.repeats)
        more = times["HTTP"] / times["inside"] - 1
        lines.append(f"overhead, an image: {more:+.1%} (of {1000 * times['inside']:.0f} ms; target 5%)")
    return lines


def make_llama(folder: Path, args: argparse.Namespace) -> Path:
    """Llama in transformers' own files, random weights, with a tokenizer of bytes and a chat template; it never ends a text."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    fast = Tokenizer(
        models.BPE({word: n for n, word in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}, [])
    )
    fast.pre_tokenizer, fast.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast.add_special_tokens(SPECIAL)
    words = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", pad_token="<pad>")
    words.chat_template = TEMPLATE
    words.save_pretrained(folder)
    torch.manual_seed(0)
    width, layers = (128, 2) if args.short else (384, 8)
    config = LlamaConfig(
        vocab_size=260, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        intermediate_size=4 * width, max_position_embeddings=1024, bos_token_id=0, eos_token_id=None, pad_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@contextmanager
def process(*command: str, ready: str = "/health") -> Iterator[int]:
    """The port of a peer, once it is healthy. `PORT` in the command stands for it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    started = subprocess.Popen(
        [one.replace("PORT", str(port)) for one in command],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"},  # a peer's own
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > until or started.poll() is not None:
                    raise TimeoutError(f"{command[0]} did not start") from None
                time.sleep(0.2)
        yield port
    finally:
        started.terminate()
        started.wait(30)


def peers(args: argparse.Namespace) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        llama = make_llama(Path(folder) / "llama", args)
        speeds: dict[str, float] = {}
        count = min(args.clients, 16)

        def chats(port: int, model: str) -> float:
            """Tokens a second, of answers that are whole."""
            clients = [[chat(model, f"{TEXT} {n} {m}", args.tokens, stream=False) for m in range(2)] for n in range(count)]
            return fastest(port, clients, lambda one: float(one["answer"]["usage"]["completion_tokens"]))

        def vectors(port: int) -> float:
            """Texts a second."""
            clients = [[embed([f"{TEXT} {n} {m} {k}" for k in range(8)]) for m in range(args.calls)] for n in range(count)]
            return fastest(port, clients, lambda one: float(one["answer"]["data"]))

        def fastest(port: int, clients: list[list[dict[str, Any]]], count: Callable[[dict[str, Any]], float]) -> float:
            """A second, of calls that were answered; the best of the repeats, as each server has its own time."""
            speeds = []
            for _ in range(args.repeats + 1):
                results, took = ask(port, clients)
                speeds.append(sum(count(one) for one in results if one["done"]) / took)
                if failed := [one for one in results if not one["done"]]:
                    print(f"  peers, {len(failed)} of {len(results)} calls failed: {failed[0]['answer']}")
            return max(speeds[1:])

        with Runtime(RuntimeConfig(home=Path(folder) / "home")) as rt, served(rt, models=(f"llama={llama}",)) as port:
            speeds["mmgen, chat"] = chats(port, "llama")
            speeds["mmgen, embeddings"] = vectors(port)
        serve = str(Path(sys.executable).with_name("transformers"))
        for name, more in (("one by one", ()), ("continuous batching", ("--continuous-batching",))):
            try:
                with process(serve, "serve", str(llama), "--port", "PORT", "--device", "cpu", *more) as port:
                    speeds[f"transformers, chat, {name}"] = chats(port, str(llama))
            except (TimeoutError, subprocess.SubprocessError) as why:
                print(f"  peers, transformers serve, {name}: {why}")
        minilm = str(hub.resolve("embedded:minilm"))
        with process(sys.executable, str(HERE / "serve_peer.py"), minilm, "PORT") as port:
            speeds["sentence-transformers, embeddings"] = vectors(port)
    for name, speed in speeds.items():
        print(f"  peers, {name:40} {speed:8.1f} a second")
    best = max((speed for name, speed in speeds.items() if name.startswith("transformers")), default=0.0)
    ours, theirs = speeds["mmgen, embeddings"], speeds["sentence-transformers, embeddings"]
    ratio = f"{speeds['mmgen, chat'] / best:.2f}x (target 2x)" if best else "it answered nothing"
    return [
        "peers, transformers serve has no /v1/embeddings and no images",
        f"peers, chat, mmgen / the best of transformers serve: {ratio}",
        f"peers, embeddings, mmgen / sentence-transformers behind FastAPI: {ours / theirs:.2f}x (target 2x)",
    ]


PARTS = {"load": load, "overhead": overhead, "peers": peers, "dialects": dialects, "gguf": gguf}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--calls", type=int, default=4, help="of every client, one after another")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="a smaller random Llama")
    parser.add_argument("--llama-cpp", help="the Python of an environment with llama-cpp-python[server]")
    args = parser.parse_args()
    print(*[line for part in args.parts for line in PARTS[part](args)], sep="\n")


if __name__ == "__main__":
    main()
