"""How well a model that sees knows emoji drawn by a vendor: recall by name and by paraphrase, groups without any example.

python benchmarks/vision_quality.py DATA [--model REF] [--vendor fluent-flat] [--json OUT]
DATA is the folder of `mmgen data emoji`. The figures are of an unseen hand only where the model was trained with `held_out`
naming the vendor, as configs/train/emoji-clip-cpu.yaml has it. Candidates are all drawings of the vendor, flags included.
Paraphrases are up to four keywords that share no word with the name; training has seen the keywords, in other company.
Groups and subgroups are told by their own words in the data set, such as "food drink" and "animal mammal".
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import mmgen
from mmgen.training.data import emoji_dataset
from mmgen.training.data.synthetic_captions import plain
from mmgen.training.eval.retrieval_metrics import accuracy, recall

TARGETS = {"name to image R@5": (0.5, 0.7)}
"""On a CPU's model, on a GPU's."""
KEYWORDS = 4

Figures = dict[str, float]


def words(text: str) -> set[str]:
    """Without endings, so that "smiling" is said by "smile"."""
    return {re.sub(r"(ing|ed|es|s|e|y)$", "", word) for word in re.findall(r"[a-z0-9]+", text.lower())}


def paraphrase(row: dict[str, Any]) -> str:
    """Keywords without the name's words; "" where fewer than two are left."""
    other = [plain(keyword) for keyword in row["keywords"] if not words(keyword) & words(row["name"])]
    return ", ".join(other[:KEYWORDS]) if len(other) > 1 else ""


def on_white(pixels: np.ndarray) -> Image.Image:
    drawing = Image.fromarray(pixels, "RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")


def measure(model: Any, rows: list[dict[str, Any]], images: Tensor) -> Figures:
    """`model`: an mmgen.clients.image_encoder client; `images`: (N, E), its vectors of the rows' images."""

    def read(texts: list[str]) -> Tensor:
        return torch.from_numpy(model.embed_texts(texts))

    own = torch.eye(len(rows), dtype=torch.bool)
    names = read([plain(row["name"]) for row in rows])
    found = named_as("name to image", recall(names, images, own)) | named_as("image to name", recall(images, names, own))
    said = [(number, text) for number, row in enumerate(rows) if (text := paraphrase(row))]
    places = torch.tensor([number for number, _ in said])
    found |= named_as("paraphrase to image", recall(read([text for _, text in said]), images, own[places]))
    found["paraphrases"] = len(said)
    for part in ("group", "subgroup"):
        labels = sorted({row[part] for row in rows})
        right = torch.tensor([labels.index(row[part]) for row in rows])
        vectors = read([label.replace("-", " ") for label in labels])
        found[f"{part} of {len(labels)}, zero-shot"] = accuracy(images, vectors, right)
        found[f"{part}, the most frequent one"] = float(right.bincount().max()) / len(rows)
    return found


def named_as(part: str, figures: Figures) -> Figures:
    return {f"{part} {name}": value for name, value in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="embedded:emoji-clip")
    parser.add_argument("--vendor", default="fluent-flat")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = [row for row in emoji_dataset.read_rows(args.data) if row["vendor"] == args.vendor]
    if not rows:
        raise SystemExit(f"{args.data} has no drawings by {args.vendor}")
    with mmgen.Runtime() as rt:
        model = rt.seeing(args.model)
        images = map(on_white, emoji_dataset.read_images(args.data, [row["file"] for row in rows]))
        found = measure(model, rows, torch.from_numpy(model.embed_images(images)))
    print(f"{args.model} on {len(rows)} drawings by {args.vendor}")
    for name, value in found.items():
        print(f"{name:40}{value:10.3f}")
    if args.json:
        args.json.write_text(json.dumps({"model": args.model, "vendor": args.vendor, **found}, indent=2) + "\n")
    for name, targets in TARGETS.items():
        for where, target in zip(("CPU", "GPU"), targets, strict=True):
            print(f"{name} {found[name]:.3f} ({where} target {target}: {'met' if found[name] >= target else 'not met'})")


if __name__ == "__main__":
    main()
