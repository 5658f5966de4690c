"""Decoding speed: transformers and mmgen on the same random weights in one run; ratios last.

python benchmarks/decode.py [--sizes 125m 0.5b] [--repeats 3] [--tokens 64] [--parts prompt one many lookup] [--device cpu]
Weights have Llama's shape. Every way takes its turn, in the engine's thread, and medians are quoted: each thread that ever
multiplied has helpers of its own, and where there are more of them than cores they sleep between two products.

prompt: of 256 tokens, and the first token behind it, in fp32 and bf16; the best of each side is compared.
one: a prompt of 32 tokens, greedy. The limit is what the memory allows: bytes of all weights that a token reads, over the
bandwidth of a sum over as many bytes, measured before and after each time that it is compared with.
many: 16 requests of mixed lengths that arrive over a second. The peers are spared the wait: they know all requests at once.
lookup: about 2,000 tokens of passages, and an answer that copies. Random weights copy nothing, so the answer is dictated, the
same for both ways: runs of 5 to 30 tokens of the passages, between them 1 to 4 others.
"""

from __future__ import annotations

import argparse
import copy
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.models.lm import language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.quantization.int8 import quantize
from mmgen.runners.generation import TextRequest, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import TextParams

SHAPES = {
    "tiny": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 2, "num_attention_heads": 4},
    "125m": {"hidden_size": 768, "intermediate_size": 2048, "num_hidden_layers": 14, "num_attention_heads": 12},
    "0.5b": {"hidden_size": 1280, "intermediate_size": 3456, "num_hidden_layers": 22, "num_attention_heads": 20},
}
WORDS = 32_000
NOTHING = Vocabulary(lambda ids: "x" * len(ids), frozenset())
MEMORY = 2 << 30
PATIENCE = 120
PARTS = ("prompt", "one", "many", "lookup")


def greedy(tokens: int) -> TextParams:
    return TextParams(strategy="greedy", max_tokens=tokens)


def peer(size: str, device: str) -> Any:
    """Llama in transformers, random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(**SHAPES[size], vocab_size=WORDS, max_position_embeddings=4096, eos_token_id=None, pad_token_id=0)
    return LlamaForCausalLM(config).to(device).eval()


def ours(model: Any, device: str, precision: str = "fp32") -> LanguageModel:
    """As `mmgen.clients.text` has a folder's model loaded."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        lm = language_model.load(Path(folder), device, torch.bfloat16 if precision == "bf16" else None)
    if precision in ("int8", "int4"):
        quantize(lm, precision)
    lm.pack()
    return lm


def numbers(count: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(1, WORDS) for _ in range(count)]


def bandwidth(size: int, device: str) -> float:
    """Bytes a second, of a sum over `size` bytes."""
    plain = torch.ones(size // 4, device=device)
    return size / statistics.median(seconds(plain.sum) for _ in range(10))


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


def read_by_a_token(model: Any) -> int:
    """Bytes of weights: all but the word vectors, of which it reads one."""
    return sum(p.numel() * p.element_size() for p in model.parameters()) - model.get_input_embeddings().weight.nbytes


class Peer:
    """transformers, by `generate`."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def generate(self, prompts: Sequence[Sequence[int]], tokens: int) -> list[list[int]]:
        """Shorter prompts are padded on the left."""
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=self.model.device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=self.model.device)
        with torch.inference_mode():
            out = self.model.generate(
                ids, attention_mask=mask, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
            )
        return out[:, longest:].tolist()  # type: ignore[no-any-return]

    def continuous(self, requests: Sequence[tuple[list[int], int]]) -> bool:
        """Its own continuous batching; whether it was done within PATIENCE seconds."""
        from transformers import ContinuousBatchingConfig, GenerationConfig

        config = GenerationConfig(do_sample=False, max_new_tokens=1, eos_token_id=-1, pad_token_id=0)
        limits = ContinuousBatchingConfig(page_size=32, num_blocks=512, max_batch_tokens=512)  # its own are a GPU's
        manager = self.model.init_continuous_batching(generation_config=config, continuous_batching_config=limits)
        manager.start()
        try:
            for prompt, tokens in requests:
                manager.add_request(list(prompt), max_new_tokens=tokens)
            done, latest = 0, time.monotonic() + PATIENCE
            while done < len(requests) and time.monotonic() < latest:
                result = manager.get_result(timeout=1)
                done += result is not None and result.is_finished()
            return done == len(requests)
        finally:
            manager.stop(block=True)


def write(
    engine: Engine, requests: Sequence[TextRequest], runner: str = "fp32", pauses: Sequence[float] = ()
) -> list[list[int]]:
    """Tokens of requests that come one after the other; `pauses`: seconds before each."""
    handles = []
    for number, request in enumerate(requests):
        if pauses:
            time.sleep(pauses[number])
        handles.append(engine.submit(Job(runner, request, seed=0)))
    return [list(handle.result(600).texts[0].ids) for handle in handles]


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int, warm: int = 1) -> dict[str, float]:
    """Median seconds of each; the first `warm` rounds do not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(warm + repeats):
        for name, work in ways.items():
            times[name].append(seconds(work))
    return {name: statistics.median(values[warm:]) for name, values in times.items()}


def prompt(engine: Engine, model: Any, args: argparse.Namespace) -> list[str]:
    half = copy.deepcopy(model).to(torch.bfloat16)
    engine.add_runner("bf16", TextRunner(engine.call(ours, half, args.device, "bf16"), NOTHING, memory=MEMORY))

    def theirs(peer: Peer) -> None:
        engine.call(peer.generate, [numbers(256, time.perf_counter_ns())], 1)

    def read(runner: str) -> None:
        write(engine, [TextRequest(numbers(256, time.perf_counter_ns()), greedy(1))], runner)

    ways: dict[str, Callable[[], Any]] = {}
    for precision, of in (("fp32", model), ("bf16", half)):
        ways |= {f"transformers {precision}": partial(theirs, Peer(of)), f"mmgen {precision}": partial(read, precision)}
    times = in_turn(ways, args.repeats)
    for name, took in times.items():
        print(f"  prompt, {name:18} {256 / took:7.1f} tokens/s")
    best = {side: min((took, name) for name, took in times.items() if name.startswith(side)) for side in ("mmgen", "transf")}
    return [f"prompt, {best['mmgen'][1]} / {best['transf'][1]}: {best['transf'][0] / best['mmgen'][0]:.2f}x (target 2x)"]


def one(engine: Engine, model: Any, args: argparse.Namespace) -> list[str]:
    theirs, prompt = Peer(model), numbers(32, 1)

    def alone(runner: str, tokens: int) -> list[int]:
        fresh = [*prompt[:16], *numbers(16, time.perf_counter_ns())]  # a prompt that is known would not be read
        return write(engine, [TextRequest(fresh, greedy(tokens))], runner)[0]

    same = engine.call(theirs.generate, [prompt], 16)[0] == write(engine, [TextRequest(prompt, greedy(16))])[0]
    ways: dict[str, Callable[[], Any]] = {"transformers": lambda: engine.call(theirs.generate, [prompt], args.tokens)}
    rounded = [name for name in ("int8", "int4") if name in engine.runners]
    ways |= {f"mmgen {name}": partial(alone, name, args.tokens) for name in ("fp32", *rounded)}
    size, shares, limits = read_by_a_token(model), list[float](), list[float]()

    def beside_the_limit() -> None:
        before, took = engine.call(bandwidth, size, args.device), seconds(ways["mmgen fp32"])
        limits.append((before + engine.call(bandwidth, size, args.device)) / 2 / size)
        shares.append(args.tokens / took / limits[-1])

    times = in_turn({**ways, "limit": beside_the_limit}, args.repeats)
    limit = statistics.median(limits[1:])
    speed = {name: args.tokens / took for name, took in times.items() if name != "limit"}
    for name, value in speed.items():
        print(f"  one, {name:16} {value:7.1f} tokens/s")
    print(f"  one, limit of fp32    {limit:7.1f} tokens/s ({limit * size / 1e9:.1f} GB/s); same tokens: {same}")
    fp32 = speed["mmgen fp32"]
    lines = [
        f"one, mmgen / transformers: {fp32 / speed['transformers']:.2f}x (target 2x)",
        f"one, mmgen / limit of the memory: {statistics.median(shares[1:]):.2f} (target 0.70)",
    ]
    return lines + [f"one, {name} / fp32: {speed[f'mmgen {name}'] / fp32:.2f}x (target 2x)" for name in rounded]


def many(engine: Engine, model: Any, args: argparse.Namespace) -> list[str]:
    draw, theirs = random.Random(2), Peer(model)
    requests = [(numbers(draw.randrange(16, 257), seed), draw.randrange(8, args.tokens * 2)) for seed in range(16)]
    moments = sorted(draw.random() for _ in requests)
    pauses = [now - before for before, now in zip([0.0, *moments], moments, strict=False)]
    rounds = iter(range(1000))

    def fresh() -> list[TextRequest]:
        mark = next(rounds)  # so that no beginning is known from the round before
        return [TextRequest([mark + 1, *prompt[1:]], greedy(tokens)) for prompt, tokens in requests]

    def batches(size: int) -> None:
        for at in range(0, len(requests), size):
            part = requests[at : at + size]
            theirs.generate([prompt for prompt, _ in part], max(tokens for _, tokens in part))

    engine.call(theirs.generate, [prompt for prompt, _ in requests], 2)  # warm: a whole round takes minutes
    write(engine, [TextRequest(request.prompt, greedy(2)) for request in fresh()])
    ways: dict[str, Callable[[], Any]] = {
        "transformers, one by one": lambda: engine.call(batches, 1),
        **{f"transformers, batches of {size}": partial(engine.call, batches, size) for size in (4, 8, 16)},
        "mmgen": lambda: write(engine, fresh(), pauses=pauses),
    }
    times = in_turn(ways, args.repeats, warm=0)
    began = time.perf_counter()
    whole = theirs.continuous(requests)
    times["transformers, continuous"] = time.perf_counter() - began
    count = sum(tokens for _, tokens in requests)
    for name, took in times.items():
        print(f"  many, {name:28} {took:6.2f} s  {count / took:7.1f} tokens/s")
    static = min(took for name, took in times.items() if "batch" in name)
    return [
        f"many, mmgen / one by one: {times['transformers, one by one'] / times['mmgen']:.2f}x (target 3x)",
        f"many, mmgen / best static batch: {static / times['mmgen']:.2f}x (target 1.3x)",
        f"many, mmgen / their continuous batching, once: {'' if whole else 'more than '}"
        f"{times['transformers, continuous'] / times['mmgen']:.2f}x",
    ]


class Dictated(torch.nn.Module):
    """A language model whose every next token is given, by the place where it stands; it computes all it would."""

    def __init__(self, lm: LanguageModel, text: Sequence[int]) -> None:
        super().__init__()
        self.lm, self.text = lm, torch.tensor([*text, 0])
        self.config, self.device, self.dtype = lm.config, lm.device, lm.dtype
        self.kv_bytes_per_token = lm.kv_bytes_per_token

    def read(
        self, ids: Tensor, attending: Any, positions: Tensor, wanted: Tensor, states: bool = True, **more: Any
    ) -> tuple[Tensor, Tensor]:
        hidden, logits = self.lm.read(ids, attending, positions, wanted, states, **more)
        return hidden, logits.scatter(1, self.text[positions[wanted] + 1][:, None], 1e9)

    def decode(self, *pass_: Any) -> None:
        """Of several tokens in one call the text is not known."""


def lookup(engine: Engine, lm: LanguageModel, args: argparse.Namespace) -> list[str]:
    draw, passages = random.Random(4), numbers(2000, 5)
    answer: list[int] = []
    while len(answer) < 2 * args.tokens:
        size = draw.randrange(5, 31)
        start = draw.randrange(len(passages) - size)
        answer += passages[start : start + size] + numbers(draw.randrange(1, 5), start)
    answer = answer[: 2 * args.tokens]
    engine.add_runner("dictated", TextRunner(Dictated(lm, passages + answer), NOTHING, memory=MEMORY))  # type: ignore[arg-type]

    def work(guesses: int) -> None:
        assert write(engine, [TextRequest(passages, greedy(len(answer)), lookup=guesses)], "dictated") == [answer]

    work(0)  # from here on the prompt is known, and only decoding is measured
    times = in_turn({"plain": partial(work, 0), "prompt lookup": partial(work, 10)}, args.repeats)
    for name, took in times.items():
        print(f"  lookup, {name:14} {len(answer) / took:7.1f} tokens/s")
    return [f"lookup, prompt lookup / plain: {times['plain'] / times['prompt lookup']:.2f}x (target 1.8x)"]


def measure(size: str, args: argparse.Namespace) -> list[str]:
    with Engine({}) as engine:
        model = engine.call(peer, size, args.device)
        print(f"{size}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f}M parameters, {torch.get_num_threads()} threads")
        rounded = ["int8", "int4"] if "one" in args.parts and args.device == "cpu" else []
        lms = {name: engine.call(ours, model, args.device, name) for name in ("fp32", *rounded)}
        for name, lm in lms.items():
            engine.add_runner(name, TextRunner(lm, NOTHING, memory=MEMORY))
        lines = prompt(engine, model, args) if "prompt" in args.parts else []
        lines += one(engine, model, args) if "one" in args.parts else []
        lines += lookup(engine, lms["fp32"], args) if "lookup" in args.parts else []
        lines += many(engine, model, args) if "many" in args.parts else []
        return [f"{size} {line}" for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["125m", "0.5b"], choices=SHAPES)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    from setting import setting  # beside this file, where it runs by itself

    print(setting(mmgen="fp32, bf16 prompts, int8 and int4 as named", transformers="fp32, bf16 prompts"))
    print("\n".join(line for lines in [measure(size, args) for size in args.sizes] for line in lines))


if __name__ == "__main__":
    main()
