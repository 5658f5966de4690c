"""Small data sets that each recipe of configs/train can read, and the commands that train on them."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np

from mmgen.training.data import emoji_dataset

THINGS = ("apple", "boat", "cat", "door", "elm", "fish", "gate", "house", "iris", "jar", "kite", "lamp")
CITIES = ("Lima", "Oslo", "Cairo", "Tokyo", "Rome", "Quito", "Bern", "Riga")


def runs(folder: Path, small: bool) -> dict[str, list[str]]:
    """Recipe -> what follows `mmgen train`. `small`: few and short batches."""
    books, chats, pairs = folder / "books.jsonl", folder / "chats.jsonl", folder / "pairs.jsonl"
    said = [f"In the year {n} a {THINGS[n % 12]} was seen in {CITIES[n % 8]}, as {word_of(n)} wrote. " for n in range(9000)]
    _lines(books, [{"text": 2 * one} for one in said])
    asks = [(f"What was seen in {1700 + n}?", f"A {THINGS[n % 12]}.", f"A {THINGS[(n + 5) % 12]}.") for n in range(600)]
    _lines(chats, [{"prompt": ask, "response": good} for ask, good, _ in asks])
    _lines(pairs, [{"prompt": ask, "chosen": good, "rejected": bad} for ask, good, bad in asks])
    emoji, qa = _drawings(folder / "emoji"), _questions(folder / "qa")
    few = ["--set", "batch=4"] if small else []
    plain = ["--set", "evidence=0", "--set", "evidence_sources={}"]
    device, pool = "cpu" if small else "gpu", ["--set", "pool=200", "--set", "leave_out=[]", "--set", "upscaler=null"]
    if small:
        pool += ["--set", "fold=4", "--set", f"unet={json.dumps(_SMALL_UNET)}", "--set", 'mixed_precision="no"']
    return {
        "language model": ["lm", "--config", f"configs/train/books-{device}.yaml", "--data", str(books), *few],
        "sft": ["sft", "--config", "configs/train/sft.yaml", "--data", str(chats), *few],
        "dpo": ["dpo", "--config", "configs/train/dpo.yaml", "--data", str(pairs), *few],
        "reader": ["reader", "--config", "configs/train/reader-cpu.yaml", "--data", str(qa), "--set", _ONE_SOURCE],
        "rerank": [
            "rerank",
            "--config",
            "configs/train/rerank-cpu.yaml",
            "--data",
            str(qa),
            "--set",
            _ONE_SOURCE,
            *plain,
            *few,
        ],
        "denoiser": ["denoiser", "--config", f"configs/train/emoji-{device}.yaml", "--data", str(emoji), *pool, *few],
        "upscaler": ["upscaler", "--config", "configs/train/emoji-upscaler.yaml", "--data", str(emoji), *few],
    }


_SMALL_UNET = {
    "block_out_channels": [16, 32], "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "UpBlock2D"], "layers_per_block": 1, "attention_head_dim": [1, 2],
    "norm_num_groups": 8, "resnet_time_scale_shift": "scale_shift",
}  # fmt: skip
"""A run ends with images that it draws: minutes on a CPU with the recipe's own."""
_ONE_SOURCE = 'sources={"squadshifts/new_wiki": 1.0}'


def word_of(number: int) -> str:
    """A word that is in no other row, so that a tokenizer finds as many as it asks for."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:8].translate(str.maketrans("0123456789", "ghijklmnop"))


def speed(run: Path) -> str:
    """What the run's log says last of its speed."""
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    rates = {
        name: value
        for line in lines
        for name, value in line.items()
        if name.endswith("_per_second") or name in ("mfu", "utilization")
    }
    return ", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in rates.items()) or "ran, too short for a figure"


def _lines(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")


def _drawings(folder: Path) -> Path:
    rows, images = [], []
    for vendor in ("noto", "twemoji", "fluent-flat"):
        for number, thing in enumerate(THINGS):
            rng, pixels = np.random.default_rng(number), np.zeros((64, 64, 4), np.uint8)
            pixels[8:56, 8 : 20 + 3 * number] = (*rng.integers(0, 200, 3), 255)
            images.append(pixels)
            rows.append({
                "file": f"{vendor}/{thing}.png", "vendor": vendor, "name": thing, "keywords": [thing], "group": "objects",
                "subgroup": "tool", "license": emoji_dataset.SOURCES[vendor].license,
            })  # fmt: skip
    emoji_dataset.write(folder, rows, images)
    return folder


def _questions(folder: Path) -> Path:
    rows = []
    for number in range(400):
        city, name = CITIES[number % 8], word_of(number)
        context = f"In year {number} many of {name} travelled to {city} by ship, and {name[::-1]} stayed there for the winter."
        rows.append({
            "id": str(number), "title": f"title {number}", "question": f"Where did people travel in year {number}?",
            "context": context, "answers": [city], "answer_starts": [context.index(city)],
        })  # fmt: skip
    (folder / "squadshifts").mkdir(parents=True)
    with gzip.open(folder / "squadshifts" / "new_wiki.jsonl.gz", "wt") as out:
        out.write("\n".join(map(json.dumps, rows)))
    return folder
