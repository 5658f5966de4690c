"""Small made-up documents, and a recipe of a language model that learns them in a second."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

WORDS = "the a fox hen farmer river wood moon runs sees follows finds old young red and under over home road".split()  # noqa: SIM905
MODEL: dict[str, Any] = {
    "layers": 2, "heads": 2, "hidden_size": 32, "intermediate_size": 64, "max_tokens": 32, "positions": "rotary", "norm": "rms",
    "norm_at": "pre", "norm_eps": 1e-5, "activation": "silu", "gated": True, "causal": True, "qkv_bias": False,
    "out_bias": False, "feed_forward_bias": False, "embedding_norm": False,
}  # fmt: skip


def documents(count: int = 24, words: int = 80) -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=words)).capitalize() + ".\r\n" for _ in range(count)]


def write(folder: Path, texts: list[str] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "tales.jsonl.gz", "wt", encoding="utf-8", newline="") as out:
        out.write("\n".join(json.dumps({"title": "t", "text": text}) for text in texts or documents()))
    return folder
