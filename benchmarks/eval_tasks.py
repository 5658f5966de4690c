"""A GGUF model's figures on tasks of lm-eval, by mmgen and by lm-eval's own model of transformers on the same weights.

python benchmarks/eval_tasks.py [MODEL.gguf] [--tasks currencies,sums] [--include configs/eval] [--limit N]
MODEL: default embedded:smollm2's file. transformers dequantizes it to fp32, we multiply from its blocks. --limit: questions of
each task, 100 unless said. Seconds are of the whole evaluation, without loading.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmgen import hub
from mmgen.runtime import Runtime
from mmgen.training.eval import harness

BATCH = 16
"""Requests in a pass of transformers."""


def ours(path: Path, tasks: list[str], include: Path, limit: int) -> Callable[[], dict[str, Any]]:
    client = Runtime().text(str(path))
    return lambda: harness.evaluate(client, tasks, include, limit=limit)


def theirs(path: Path, tasks: list[str], include: Path, limit: int) -> Callable[[], dict[str, Any]]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype="float32").eval()
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    hf = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH, max_length=8192)
    return lambda: lm_eval.simple_evaluate(
        model=hf, tasks=tasks, limit=limit, log_samples=False, bootstrap_iters=1000,
        task_manager=TaskManager(include_path=str(include), include_defaults=False),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--tasks", default="currencies,sums")
    parser.add_argument("--include", type=Path, default=Path(__file__).parents[1] / "configs" / "eval")
    parser.add_argument("--limit", type=int, default=100)
    args = parser.parse_args()
    found = args.model or hub.resolve("embedded:smollm2")
    path = (found if found.is_file() else next(found.glob("*.gguf"))).resolve()
    results, seconds = {}, {}
    for name, way in (("mmgen", ours), ("transformers", theirs)):
        evaluate = way(path, args.tasks.split(","), args.include, args.limit)
        start = time.perf_counter()
        results[name] = evaluate()["results"]
        seconds[name] = time.perf_counter() - start
    print(f"{'task':12} {'metric':24} {'mmgen':>8} {'transformers':>12} {'stderr':>8}")
    for task, scores in results["mmgen"].items():
        for metric, value in scores.items():
            if isinstance(value, float) and "_stderr" not in metric:
                error = scores.get(metric.replace(",", "_stderr,"))
                print(f"{task:12} {metric:24} {value:8.3f} {results['transformers'][task][metric]:12.3f} {error:8.3f}")
    print("seconds      " + ", ".join(f"{name} {taken:.0f}" for name, taken in seconds.items()))


if __name__ == "__main__":
    main()
