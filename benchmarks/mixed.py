"""Chats, images and bulk embedding at once on one device: mmgen fair, mmgen fifo, and independent processes; ratios last.

python benchmarks/mixed.py [--seconds 30] [--chats 0.5] [--max-gap-ms 30] [--device cpu] [--large] [--plot docs/mixed.png]
Five minutes on two cores.
Chats come at random (Poisson) and are read token by token; four images and two jobs of 64 texts are always under way. The
language model is a random llama (25M; with --large 0.5B), images are drawn by embedded:emoji (with --large a random UNet of
Stable Diffusion's shape, scaled down), texts are embedded by embedded:minilm. Before the mix each kind runs alone in fp32,
images and texts as in the mix, chats one after another to their end; throughput is the sum of what each kind did in the mix, by
what it does alone. Encoder and embedded denoiser run in the precision that this home measures and chooses for them and in fp32;
the random language model has none to be measured by. The independent ones are transformers, diffusers and sentence-transformers
in fp32 on the same weights, a process each, as people run them beside each other.
"""

import argparse
import itertools
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from setting import setting, settled

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Priority, Request
from mmgen.engine.telemetry.metrics import jain
from mmgen.errors import MmgenError
from mmgen.plugins import registry

PROMPT, ANSWER, WORDS = 64, 48, 8192  # tokens
STEPS, GUIDANCE, UNDER_WAY, TEXTS = 20, 5.0, 4, 64
TEXT = "The lamp was first lit in 1823, and could be seen from thirty kilometres in clear weather."
COUNTED = ("chat", "images", "embeddings")


@dataclass
class Seen:
    """What callers saw."""

    first: list[float] = field(default_factory=list)  # seconds to the first token
    gaps: list[float] = field(default_factory=list)  # from one token to the next
    done: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0.0))  # tokens, images, texts

    def add(self, other: "Seen") -> None:
        self.first += other.first
        self.gaps += other.gaps
        for kind, number in other.done.items():
            self.done[kind] += number


@dataclass(frozen=True)
class Plan:
    """The load. `ends`: time.monotonic(), the same in all processes of a machine."""

    llama: str
    device: str
    large: bool
    rate: float
    begins: float
    ends: float
    busy: frozenset[str] = frozenset(COUNTED)

    def chats(self) -> Iterator[tuple[float, list[int]]]:
        """Moments and prompts; none where chats are alone: then they come one after another."""
        rng, at = random.Random(0), self.begins
        while self.busy != {"chat"} and (at := at + rng.expovariate(self.rate)) < self.ends:
            yield at, [rng.randrange(1, WORDS) for _ in range(PROMPT)]


def make_llama(folder: Path, large: bool) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    width, layers, hidden = (1024, 24, 4096) if large else (384, 8, 1536)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=width, num_hidden_layers=layers, num_attention_heads=width // 64,
        num_key_value_heads=width // 64, intermediate_size=hidden, max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def denoiser(plan: Plan, precision: str = "fp32") -> Any:
    from txt2img import small_stable_diffusion

    from mmgen import hub
    from mmgen.models.diffusion import denoiser as models

    if plan.large:
        made = small_stable_diffusion(torch.float32)
        made.unet.to(plan.device)
        made.device = torch.device(plan.device)
        return made
    return models.load(hub.resolve("embedded:emoji"), device=plan.device, precision=precision)


FP32 = {"embeddings": "fp32", "images": "fp32"}


def chosen(device: str, large: bool, measure: bool) -> dict[str, str]:
    """Of encoder and denoiser; where this home knows none they are measured now, as `mmgen tune` does it."""
    kinds = {"embeddings": "embedded:minilm", **({} if large else {"images": "embedded:emoji"})}
    found = settled(list(kinds.values()), device, measure)
    return {**FP32, **{kind: found[reference] or "fp32" for kind, reference in kinds.items()}}


class Ours:
    """One engine for all three."""

    def __init__(self, plan: Plan, policy: str, max_gap_ms: float | None, precisions: dict[str, str] = FP32) -> None:
        from mmgen import hub
        from mmgen.models.encoders import sentence_encoder
        from mmgen.models.lm import language_model
        from mmgen.runners.denoise import DenoiseRunner
        from mmgen.runners.generation import Vocabulary
        from mmgen.runners.text import TextRunner
        from mmgen.runners.token_batch import TokenBatchRunner

        self.lm = language_model.load(Path(plan.llama), plan.device)
        self.lm.pack()
        self.denoiser, minilm = denoiser(plan, precisions["images"]), hub.resolve("embedded:minilm")
        self.encoder = sentence_encoder.load(minilm, device=plan.device, precision=precisions["embeddings"])
        self.conditions = self.denoiser.embed_prompts(["a smiling cat", ""])
        if plan.device == "cpu":
            self.denoiser.pack()
        letters = Vocabulary(lambda ids: "x" * len(ids), frozenset())  # every token is told
        rows = 768 if plan.device == "cpu" else 16_384
        runners = {
            "text": TextRunner(self.lm, letters, memory=1 << 28),  # type: ignore[arg-type]
            "denoise": DenoiseRunner(self.denoiser),
            "embed": TokenBatchRunner(self.encoder.embed_rows, budget=rows, row_bytes=1536, padding=float("inf")),
        }
        self.engine = Engine(runners, registry().policies.get(policy)(), max_gap_ms=max_gap_ms)
        self.rows = self.encoder.tokenize([TEXT] * TEXTS)

    def run(self, plan: Plan) -> Seen:
        seen, threads = Seen(), list[threading.Thread]()
        if "chat" in plan.busy:
            threads += [threading.Thread(target=self._chats, args=(plan, seen))]
        if plan.busy == {"chat"}:
            threads = [threading.Thread(target=self._endless, args=(plan, seen, self._chat))]
        if "images" in plan.busy:
            threads += [threading.Thread(target=self._endless, args=(plan, seen, self._image)) for _ in range(UNDER_WAY)]
        if "embeddings" in plan.busy:
            threads += [threading.Thread(target=self._endless, args=(plan, seen, self._texts)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen

    def _endless(self, plan: Plan, seen: Seen, work: Callable[[Plan, Seen], None]) -> None:
        while time.monotonic() < plan.ends:
            with suppress(MmgenError):  # what is under way at the end does not count
                work(plan, seen)

    def _chats(self, plan: Plan, seen: Seen) -> None:
        threads = []
        for at, prompt in plan.chats():
            time.sleep(max(0.0, at - time.monotonic()))
            threads.append(threading.Thread(target=self._read, args=(plan, seen, prompt)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _chat(self, plan: Plan, seen: Seen) -> None:
        self._read(plan, seen, [random.randrange(1, WORDS) for _ in range(PROMPT)])

    def _read(self, plan: Plan, seen: Seen, prompt: list[int]) -> None:
        from mmgen.runners.generation import TextPiece, TextRequest
        from mmgen.text_params import TextParams

        params = TextParams(strategy="greedy", max_tokens=ANSWER)
        ask, last, heard = TextRequest(prompt, params), time.monotonic(), False
        with suppress(MmgenError):
            handle = self.engine.submit(Job("text", ask, request(plan, "chat", "interactive"), seed=0))
            for event in handle.events():
                now = time.monotonic()
                assert isinstance(event, TextPiece)
                (seen.gaps if heard else seen.first).append(now - last)
                last, heard = now, True
                seen.done["chat"] += len(event.text)

    def _image(self, plan: Plan, seen: Seen) -> None:
        from mmgen.image_events import Progress
        from mmgen.image_params import ImageParams
        from mmgen.models.diffusion.schedule import NoiseSchedule
        from mmgen.models.diffusion.solvers import tabulate
        from mmgen.runners.denoise import DenoiseRequest

        model, (prompt, nothing) = self.denoiser, self.conditions
        table = tabulate(NoiseSchedule.from_config(model.scheduler_config), "dpm++2m", STEPS)
        params = ImageParams(steps=STEPS, guidance=GUIDANCE, width=model.size, height=model.size)
        ask = DenoiseRequest(params, prompt, table, nothing)
        handle = self.engine.submit(Job("denoise", ask, request(plan, "artist", "normal")))
        for event in handle.events():
            seen.done["images"] += isinstance(event, Progress) / STEPS

    def _texts(self, plan: Plan, seen: Seen) -> None:
        self.engine.submit(Job("embed", self.rows, request(plan, "bulk", "batch"))).result()
        seen.done["embeddings"] += TEXTS


def request(plan: Plan, user: str, priority: Priority) -> Request:
    """It ends with the run; a deadline would have it refused where it cannot end before that."""
    made = Request(user=user, priority=priority)
    timer = threading.Timer(max(0.0, plan.ends - time.monotonic()), made.cancel)
    timer.daemon = True
    timer.start()
    return made


def their_chats(plan: Plan) -> Callable[[Plan, Seen], None]:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(plan.llama, dtype=torch.float32).to(plan.device).eval()

    class Streamer:
        """Told of the prompt, and then of each token."""

        def __init__(self, plan: Plan, seen: Seen) -> None:
            self.plan, self.seen, self.last, self.told = plan, seen, time.monotonic(), 0

        def put(self, ids: Any) -> None:
            now = time.monotonic()
            if self.told:
                (self.seen.gaps if self.told > 1 else self.seen.first).append(now - self.last)
                self.last = now
                self.seen.done["chat"] += 1
            self.told += 1
            if now > self.plan.ends:
                raise TimeoutError

        def end(self) -> None:
            pass

    def answer(plan: Plan, seen: Seen, prompt: list[int]) -> None:
        with suppress(TimeoutError), torch.inference_mode():
            ids = torch.tensor([prompt], device=plan.device)
            model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=ANSWER, min_new_tokens=ANSWER, do_sample=False,
                pad_token_id=0, streamer=Streamer(plan, seen),
            )  # fmt: skip

    def run(plan: Plan, seen: Seen) -> None:
        threads = []
        for at, prompt in plan.chats():
            time.sleep(max(0.0, at - time.monotonic()))
            threads.append(threading.Thread(target=answer, args=(plan, seen, prompt)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    answer(replace(plan, ends=float("inf")), Seen(), [1] * PROMPT)  # warm
    return run


def their_images(plan: Plan) -> Callable[[Plan, Seen], None]:
    from txt2img import Case, theirs

    case = Case.of("image", denoiser(plan))  # ours is not run here, and not packed
    theirs(case, "dpm++2m", 2, GUIDANCE, 0)

    def run(plan: Plan, seen: Seen) -> None:
        for seed in itertools.count():
            theirs(case, "dpm++2m", STEPS, GUIDANCE, seed)
            if time.monotonic() > plan.ends:
                return
            seen.done["images"] += 1

    return run


def their_texts(plan: Plan) -> Callable[[Plan, Seen], None]:
    from sentence_transformers import SentenceTransformer

    from mmgen import hub

    model = SentenceTransformer(str(hub.resolve("embedded:minilm")), device=plan.device, local_files_only=True)
    model.encode([TEXT] * 32)

    def run(plan: Plan, seen: Seen) -> None:
        while True:
            model.encode([TEXT] * 32, batch_size=32)
            if time.monotonic() > plan.ends:
                return
            seen.done["embeddings"] += 32

    return run


def worker(kind: str, plan: Plan, pipe: Any) -> None:
    """A process of its own: loads its model, says so, is given the plan, and tells what it saw."""
    run = {"chat": their_chats, "images": their_images, "embeddings": their_texts}[kind](plan)
    pipe.send("ready")
    plan, seen = pipe.recv(), Seen()
    run(plan, seen)
    pipe.send(seen)


def independent(plan: Callable[[], Plan]) -> Seen:
    context, seen = multiprocessing.get_context("spawn"), Seen()
    ends = [context.Pipe() for _ in COUNTED]
    processes = [
        context.Process(target=worker, args=(kind, plan(), theirs)) for kind, (_, theirs) in zip(COUNTED, ends, strict=True)
    ]
    for process in processes:
        process.start()
    for _, theirs in ends:
        theirs.close()  # so that waiting for a process that has died ends, with an EOFError
    for ours, _ in ends:
        assert ours.recv() == "ready"
    begun = plan()
    for ours, _ in ends:
        ours.send(begun)
    for ours, _ in ends:
        seen.add(ours.recv())
    for process in processes:
        process.join()
    return seen


def at(values: Sequence[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def told(name: str, seen: Seen, seconds: float, alone: dict[str, float]) -> dict[str, float]:
    parts = [seen.done[kind] / seconds / max(alone[kind], 1e-9) for kind in COUNTED]  # 0: it ran for too short a time
    found = {
        "first 50": at(seen.first, 0.5), "first 99": at(seen.first, 0.99),
        "gap 50": at(seen.gaps, 0.5), "gap 99": at(seen.gaps, 0.99),
        "images": 60 * seen.done["images"] / seconds, "embeddings": seen.done["embeddings"] / seconds,
        "tokens": seen.done["chat"] / seconds, "throughput": sum(parts), "fairness": jain(parts),
    }  # fmt: skip
    print(f"{name:<22}" + "".join(f"{value:>12.2f}" for value in found.values()), flush=True)
    return found


def plot(results: dict[str, dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.8), layout="constrained")
    axes = figure.subplots(1, 3)
    shown = (("first 99", "first token, 99 %, ms"), ("gap 99", "token to token, 99 %, ms"), ("throughput", "work done"))
    for axis, (key, label) in zip(axes, shown, strict=True):
        axis.barh(list(results), [one[key] for one in results.values()], color=["#3b6fb6", "#b0b0b0", "#d98c3f"])
        axis.set_xlabel(label)
        axis.invert_yaxis()
    for axis in axes[1:]:
        axis.tick_params(labelleft=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--alone", type=float, default=10.0, help="seconds that each kind runs alone")
    parser.add_argument("--chats", type=float, default=0.5, help="a second")
    parser.add_argument("--max-gap-ms", type=float, default=30.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--quick", action="store_true", help="precisions are not measured at length where none are settled")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    precisions = chosen(args.device, args.large, not args.quick)
    told_precisions = ", ".join(f"{kind} {precision}" for kind, precision in precisions.items())
    print(setting(mmgen=f"fp32, chosen ({told_precisions})", independent_processes="fp32"))
    with tempfile.TemporaryDirectory() as folder:
        make_llama(Path(folder), args.large)
        results = measure(args, folder, precisions)
    quick, fair, fifo, theirs = results.values()
    print(f"\ntoken to token at 99 %, fifo / fair: {fifo['gap 99'] / fair['gap 99']:.1f} (target 5)")
    print(f"first token at 99 %, fifo / fair: {fifo['first 99'] / fair['first 99']:.1f} (fifo lets a chat wait before it)")
    print(f"throughput of fair, by the best kind alone: {fair['throughput']:.2f} (target 0.95)")
    print(f"independent / fair, token to token at 99 %: {theirs['gap 99'] / fair['gap 99']:.2f} (target above 1)")
    print(f"fair / independent, throughput: {fair['throughput'] / theirs['throughput']:.2f} (target above 1)")
    print(f"in the chosen precision / fp32, throughput: {quick['throughput'] / fair['throughput']:.2f} (target 2)")
    print(f"in the chosen precision / fp32, token to token at 99 %: {quick['gap 99'] / fair['gap 99']:.2f} (target 1)")
    print(f"in the chosen precision / fp32, Jain's fairness: {quick['fairness'] / fair['fairness']:.2f} (target 1)")
    if args.plot:
        plot({name: one for name, one in results.items() if one is not quick}, args.plot)


def measure(args: Any, folder: str, precisions: dict[str, str]) -> dict[str, dict[str, float]]:
    def plan(seconds: float, busy: Sequence[str] = COUNTED, start: float = 0.5) -> Plan:
        begins = time.monotonic() + start
        return Plan(folder, args.device, args.large, args.chats, begins, begins + seconds, frozenset(busy))

    alone: dict[str, float] = {}
    ours = Ours(plan(0), "fair", args.max_gap_ms)
    for kind in COUNTED:
        ours.run(plan(min(5.0, args.alone), [kind]))  # warm, and costs are known
        alone[kind] = ours.run(plan(args.alone, [kind], 0.0)).done[kind] / args.alone
    print("alone, a second: " + ", ".join(f"{number:.2f} {kind}" for kind, number in alone.items()))
    heads = ("first 50 ms", "99 %", "gap 50 ms", "99 %", "images/min", "texts/s", "tokens/s", "throughput", "Jain")
    print(f"\n{'':<22}" + "".join(f"{head:>12}" for head in heads))
    results = {}
    ours.engine.close(drain=False)
    ways = (("mmgen fair, chosen", "fair", precisions), ("mmgen fair", "fair", FP32), ("mmgen fifo", "fifo", FP32))
    for name, policy, used in ways:
        ours = Ours(plan(0), policy, args.max_gap_ms if policy == "fair" else None, used)
        ours.run(plan(min(3.0, args.seconds)))  # warm, and costs are known
        seen = ours.run(plan(args.seconds))
        results[name] = told(name, seen, args.seconds, alone)
        broken, longest = ours.engine.scheduler.broken, ours.engine.scheduler.longest_gap
        print(f"{'':<22}longest gap for other work {longest:.0f} ms; over the cap: {broken or 'never'}")
        ours.engine.close(drain=False)
    seen = independent(lambda: plan(args.seconds))
    results["independent processes"] = told("independent processes", seen, args.seconds, alone)
    return results


if __name__ == "__main__":
    main()
