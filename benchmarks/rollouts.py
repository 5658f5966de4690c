"""Answers that reinforcement learning draws, a second: by our engine, and by TRL's GRPOTrainer with transformers' generate.

python benchmarks/rollouts.py [--base FOLDER] [--prompts 4] [--answers 8] [--max-tokens 32] [--repeats 3] [--sampler bf16]
The same model, prompts, number of answers and temperature (1); tokens up to each answer's end are counted. Both sides in turn;
seconds are the process's own on one thread, as other work does not count then. --sampler: of our products; TRL's are fp32, or
bf16 with --trl-bf16. --base: default embedded:smollm2, whose weights TRL reads from a copy in fp32.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmgen import hub
from mmgen.runtime import Runtime
from mmgen.text_params import TextParams
from mmgen.training.recipes import finetuning
from mmgen.training.recipes.finetuning import TuningRecipe
from mmgen.training.rl.rollouts import Rollouts

Side = Callable[[int], int]
"""A seed -> tokens that were drawn."""


def prompts(count: int) -> list[str]:
    things = ("the sea", "a winter morning", "bread", "the moon", "old maps", "a violin", "rain", "mountains")
    return [
        f"Write a sentence about {things[number % len(things)]} in exactly {4 + number % 6} words." for number in range(count)
    ]


def ours(rt: Runtime, text: Any, base: str, args: argparse.Namespace) -> Side:
    rollouts = Rollouts(rt, text, hub.resolve(base), base, args.sampler)
    ids = [text.encode_chat([{"role": "user", "content": one}]) for one in prompts(args.prompts)]
    params = TextParams(max_tokens=args.max_tokens, temperature=1.0, n=args.answers)

    def drawn(seed: int) -> int:
        rollouts.refresh(text.lm)
        return sum(len(one.ids) for result in rollouts.draw(ids, params, seed) for one in result.texts)

    return drawn


def theirs(folder: Path, args: argparse.Namespace) -> Side:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    rows = [{"prompt": [{"role": "user", "content": one}]} for one in prompts(args.prompts)]
    count = args.prompts * args.answers
    trainer = GRPOTrainer(
        model=str(folder), reward_funcs=lambda completions, **more: [0.0] * len(completions),
        train_dataset=Dataset.from_list(rows),
        args=GRPOConfig(
            output_dir=str(folder / "trl"), per_device_train_batch_size=count, num_generations=args.answers,
            max_completion_length=args.max_tokens, temperature=1.0, use_cpu=True, bf16=args.trl_bf16, report_to=[],
            model_init_kwargs={"dtype": "bfloat16" if args.trl_bf16 else "float32"},
        ),
    )  # fmt: skip
    asked = [row["prompt"] for row in rows for _ in range(args.answers)]

    def drawn(seed: int) -> int:
        torch.manual_seed(seed)
        return sum(map(len, trainer._generate(asked)[1]))

    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="embedded:smollm2")
    for name, default in (("prompts", 4), ("answers", 8), ("max-tokens", 32), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sampler", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--trl-bf16", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # TRL's own
    text, base = finetuning.load_base(TuningRecipe(base=args.base, steps=1)), hub.resolve(args.base)
    with tempfile.TemporaryDirectory() as name, Runtime() as rt:
        folder = Path(name) / "model"
        finetuning.save_model(text, base, folder)
        sides, speeds = {"mmgen": ours(rt, text, args.base, args), "TRL": theirs(folder, args)}, dict[str, list[float]]()
        for seed in range(args.repeats + 1):  # the first is not counted
            for side, drawn in sides.items():
                start = time.process_time()
                tokens = drawn(seed)
                seconds = time.process_time() - start
                if seed:
                    speeds.setdefault(side, []).append(tokens / seconds)
                    print(f"{side:6} {tokens:6} tokens {seconds:7.2f} s {tokens / seconds:7.1f} tokens/s", flush=True)
        found = {side: statistics.median(some) for side, some in speeds.items()}
    print(f"median: mmgen {found['mmgen']:.1f}, TRL {found['TRL']:.1f} tokens/s; ratio {found['mmgen'] / found['TRL']:.2f}")


if __name__ == "__main__":
    main()
