"""How well a model draws what it is asked for, measured by embedded:emoji-clip, which was trained apart; targets last.

python benchmarks/image_quality.py DATA [--model REF] [--eye REF] [--vendors NAME ...] [--steps 20] [--solver NAME]
[--guidance G] [--json OUT] [--sheet OUT.png]
DATA is the folder of `mmgen data emoji`; VENDORS are those that the model was trained on; REF is what looks at the images.
Caption: is an image nearest to its own caption among 100, which training has shown. Retrieval: is it nearest to a drawing of
what the caption names, among those of the 100. Composition: 200 prompts that training
never shows. Diversity: 8 seeds of 20 prompts. Memorisation: the nearest training drawing of the 100 retrieval images.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import mmgen
from mmgen.training.data.emoji_images import SIDE, EmojiImages
from mmgen.training.data.scene_renderer import Augment
from mmgen.training.eval import image_metrics, image_samples
from mmgen.training.eval.composition_metrics import Composition
from mmgen.training.eval.eval_prompts import composition_prompts, retrieval_prompts
from mmgen.training.eval.reference_images import Eye, ReferenceImages
from mmgen.training.eval.retrieval_metrics import recall

TARGETS = {  # figure -> target on a CPU's model, on a GPU's
    "retrieval: R@1": (0.5, 0.8),
    "composition: background": (None, 0.9),
    "composition: relation": (None, 0.6),
}
VARIED, SEEDS = 20, 8

Figures = dict[str, float]
Reads = Callable[[Sequence[str]], Tensor]
"""B texts -> (B, D), unit length."""


class Model:
    def __init__(self, args: argparse.Namespace) -> None:
        self.draw = mmgen.pipeline("txt2img", **({"model": args.model} if args.model else {}))
        size = {"width": SIDE, "height": SIDE}  # as the denoiser draws, before its own super-resolution
        self.options = {"steps": args.steps, "solver": args.solver, "guidance": args.guidance, **size}

    def __call__(self, prompts: Sequence[str], seed: int, n: int = 1) -> Tensor:
        """(P * n, 3, H, W) in [-1, 1]"""
        drawn = self.draw(list(prompts), n=n, seed=seed, **self.options).images
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2) / 127.5 - 1


def measure(model: Model, eye: Eye, read: Reads, dataset: EmojiImages, args: argparse.Namespace) -> tuple[Figures, Figures]:
    """What the model reaches, and what true images do."""
    named, composed = retrieval_prompts(dataset), composition_prompts(dataset)
    wanted, texts = [prompt.a for prompt in named], [prompt.text for prompt in named]
    gallery = ReferenceImages.of(eye, dataset, wanted)
    drawn = model(texts, seed=0)
    if args.sheet:
        whole = [Image.fromarray(one) for one in ((drawn + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()]
        image_samples.grid(whole, texts, 10).save(args.sheet)
    composition = Composition(eye, dataset, composed)
    varied = model(texts[:VARIED], seed=1000, n=SEEDS).unflatten(0, (-1, SEEDS))
    memory = image_metrics.TrainingImages.of(dataset, args.vendors).memorised(drawn, wanted)
    captions, own = read(texts), torch.eye(len(texts), dtype=torch.bool)
    found = named_as("caption", recall(eye(drawn), captions, own))
    found |= named_as("retrieval", image_metrics.retrieval(eye, gallery, drawn, wanted))
    found |= named_as("composition", composition.measure(model([prompt.text for prompt in composed], seed=2000), composed))
    found |= named_as("diversity", image_metrics.diversity(eye, varied)) | named_as("nearest drawing", memory)
    moved = image_metrics.scenes(dataset, named, Augment())
    ceiling = named_as("caption", recall(eye(moved), captions, own))
    ceiling |= named_as("retrieval", image_metrics.retrieval(eye, gallery, moved, wanted))
    ceiling |= named_as("retrieval, unknown hand", image_metrics.unknown_hand(eye, dataset, wanted))
    ceiling |= named_as("composition", composition.measure(image_metrics.scenes(dataset, composed, Augment(scale=0)), composed))
    return found, ceiling


def named_as(part: str, figures: Figures) -> Figures:
    return {f"{part}: {name}": value for name, value in figures.items()}


def verdicts(found: Figures) -> list[str]:
    """A line a target."""
    out = []
    for name, targets in TARGETS.items():
        said = [
            f"{where} target {target}: {'met' if found[name] >= target else 'not met'}"
            for where, target in zip(("CPU", "GPU"), targets, strict=True)
            if target is not None
        ]
        out.append(f"{name} {found[name]:.3f} ({'; '.join(said)})")
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--eye", default="embedded:emoji-clip")
    parser.add_argument("--vendors", nargs="+", default=["noto", "twemoji"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--solver")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="the 100 images with their captions, as a PNG")
    args = parser.parse_args()
    dataset = EmojiImages.load(args.data, leave_out=image_metrics.LEAVE_OUT)
    seeing, model = mmgen.Runtime.shared().seeing(args.eye), Model(args)
    found, ceiling = measure(
        model,
        lambda images: torch.from_numpy(seeing.embed_images(images)),
        lambda texts: torch.from_numpy(seeing.embed_texts(texts)),
        dataset,
        args,
    )
    options = ", ".join(f"{name} {value}" for name, value in model.options.items() if value is not None)
    print(f"{args.model or 'the configured model'}, {options}; ceiling: true drawings, moved and scaled as in training")
    print(f"{'':40}{'drawn':>10}{'ceiling':>10}")
    for name in dict.fromkeys([*found, *ceiling]):
        cells = (f"{figures[name]:10.3f}" if name in figures else " " * 10 for figures in (found, ceiling))
        print(f"{name:40}{''.join(cells)}")
    if args.json:
        about: dict[str, Any] = {"model": args.model, **model.options, "drawn": found, "ceiling": ceiling}
        args.json.write_text(json.dumps(about, indent=2) + "\n")
    print("\n".join(verdicts(found)))


if __name__ == "__main__":
    main()
