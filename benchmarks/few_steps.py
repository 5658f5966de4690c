"""Whether few steps of `embedded:emoji` are as good as many: the judge of image_quality.py, and PSNR to many steps.

python benchmarks/few_steps.py DATA [--settings SOLVER:STEPS[:SPACING] ...] [--prompts development|reported] [--json OUT]
DATA is the folder of `mmgen data emoji`. The first setting is what PSNR and cosine are measured to, the second what is
compared with; all draw the same seeds. SPACING (trailing, leading, linspace) is written into a copy of the model's
scheduler. Development: names and scenes of two things that stand behind those of image_quality.py; choose a setting on
them. Reported: those of image_quality.py. A line a setting: R@1 of names, objects and relations of scenes, each with how
many it wins and loses against the second setting and the two-sided sign test of that; median PSNR in dB; cosine of the
judge's vectors; processor seconds.
"""

import argparse
import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import mmgen
from mmgen import hub
from mmgen.training.data.emoji_images import SIDE, EmojiImages
from mmgen.training.eval import image_metrics
from mmgen.training.eval.composition_metrics import Composition
from mmgen.training.eval.eval_prompts import EvalPrompt, composition_prompts, retrieval_prompts
from mmgen.training.eval.reference_images import Eye, ReferenceImages

SETTINGS = ("dpm++2m:50", "dpm++2m:20", "dpm++2m:12", "dpm++2m:8", "dpm++2m-karras:8", "unipc:8", "euler:8")
NAMES, SCENES = 100, 80  # of image_quality.py
PART = 32  # images drawn in one call


@dataclass
class Drawn:
    """What one setting drew, and what the judge says of each image."""

    names: np.ndarray  # (N,) 1.0 where the name's drawing is the nearest
    objects: np.ndarray  # (S,) the share of the two things that is recognised
    relations: np.ndarray  # (S,) 1.0 where both stand where they were asked for
    pixels: Tensor  # (N + S, 3, H, W) in [-1, 1]
    vectors: Tensor  # (N + S, D)
    seconds: float  # of the processor


class Judge:
    def __init__(self, eye: Eye, dataset: EmojiImages, names: list[EvalPrompt], scenes: list[EvalPrompt]) -> None:
        self.eye, self.names, self.scenes = eye, names, scenes
        self.wanted = torch.tensor([prompt.a for prompt in names])
        self.gallery = ReferenceImages.of(eye, dataset, self.wanted.tolist())
        self.composition = Composition(eye, dataset, scenes)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, seconds: float) -> Drawn:
        vectors = torch.cat([self.eye(part) for part in pixels.split(256)])
        count = len(self.names)
        ranks = self.gallery.ranks(vectors[:count], self.wanted, self.wanted.unique())
        found = [
            self.composition.measure(image[None], [prompt]) for image, prompt in zip(pixels[count:], self.scenes, strict=True)
        ]
        objects, relations = (np.array([one[name] for one in found]) for name in ("object", "relation"))
        return Drawn((ranks < 1).double().numpy(), objects, relations, pixels, vectors, seconds)


def draw(model: str, texts: list[str], solver: str, steps: int, seed: int) -> tuple[Tensor, float]:
    """One image a text, the same seeds for every setting -> (B, 3, H, W) in [-1, 1], and the processor's seconds."""
    txt2img, begun, images = mmgen.pipeline("txt2img", model=model), time.process_time(), []
    for start in range(0, len(texts), PART):
        part = texts[start : start + PART]
        images += txt2img(part, seed=seed + start, width=SIDE, height=SIDE, solver=solver, steps=steps).images
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1, time.process_time() - begun


def spaced(model: str, spacing: str | None, into: Path) -> str:
    """A reference to the model with another spacing of timesteps; the model itself without one."""
    if spacing is None:
        return model
    source, folder = hub.resolve(model, kind="denoiser"), into / spacing
    if not folder.exists():
        (folder / "scheduler").mkdir(parents=True)
        for part in source.iterdir():
            if part.name != "scheduler":
                (folder / part.name).symlink_to(part.resolve())
        config = json.loads((source / "scheduler" / "scheduler_config.json").read_text())
        text = json.dumps({**config, "timestep_spacing": spacing})
        (folder / "scheduler" / "scheduler_config.json").write_text(text)
    return str(folder)


def sign_test(won: int, lost: int) -> float:
    """The probability that a fair coin parts `won + lost` at least as unevenly."""
    n = won + lost
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(min(won, lost) + 1)) / 2**n)


def against(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    won, lost = int((one > other).sum()), int((one < other).sum())
    return {"mean": float(one.mean()), "won": won, "lost": lost, "p": sign_test(won, lost)}


def compared(drawn: Drawn, reference: Drawn, usual: Drawn) -> dict[str, dict[str, float]]:
    """Figures of one setting."""
    squares = ((drawn.pixels - reference.pixels) / 2).pow(2).flatten(1).mean(1)
    psnr = -10 * squares.clamp(min=1e-10).log10()  # 100 dB where they are the same
    cosine = (drawn.vectors * reference.vectors).sum(1)
    parts = {name: against(getattr(drawn, name), getattr(usual, name)) for name in ("names", "objects", "relations")}
    looks = {"psnr": float(psnr.median()), "cosine": float(cosine.mean()), "seconds": drawn.seconds}
    return {**parts, "looks": looks}


def line(name: str, found: dict[str, dict[str, float]]) -> str:
    cells = [
        f"{one['mean']:.3f} (+{one['won']:.0f} -{one['lost']:.0f}, p {one['p']:.2f})"
        for one in (found["names"], found["objects"], found["relations"])
    ]
    looks = found["looks"]
    return (
        f"{name:20}"
        + "".join(f"{cell:>26}" for cell in cells)
        + (f"{looks['psnr']:8.1f}{looks['cosine']:8.3f}{looks['seconds']:8.0f}")
    )


def chosen(dataset: EmojiImages, which: str, count: int) -> tuple[list[EvalPrompt], list[EvalPrompt]]:
    """Names, and scenes of two things."""
    if which == "reported":
        return retrieval_prompts(dataset, NAMES), composition_prompts(dataset, SCENES, 0, 0)
    more = retrieval_prompts(dataset, NAMES + count), composition_prompts(dataset, SCENES + count, 0, 0)
    return more[0][NAMES:], more[1][SCENES:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="embedded:emoji")
    parser.add_argument("--settings", nargs="+", default=SETTINGS)
    parser.add_argument("--prompts", choices=("development", "reported"), default="development")
    parser.add_argument("--count", type=int, default=24, help="names, and scenes, of development")
    parser.add_argument("--seed", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    dataset = EmojiImages.load(args.data, leave_out=image_metrics.LEAVE_OUT)
    names, scenes = chosen(dataset, args.prompts, args.count)
    seeing = mmgen.Runtime.shared().seeing("embedded:emoji-clip")
    judge = Judge(lambda images: torch.from_numpy(seeing.embed_images(images)), dataset, names, scenes)
    texts, drawn, figures = [prompt.text for prompt in [*names, *scenes]], {}, {}
    print(f"{len(names)} names, {len(scenes)} scenes, {args.prompts}; +won -lost against {args.settings[1]}")
    print(f"{'':20}{'names R@1':>26}{'objects':>26}{'relation':>26}{'PSNR':>8}{'cosine':>8}{'s':>8}")
    with tempfile.TemporaryDirectory() as scratch:
        for setting in dict.fromkeys(args.settings):
            solver, steps, *spacing = setting.split(":")
            model = spaced(args.model, spacing[0] if spacing else None, Path(scratch))
            drawn[setting] = judge(*draw(model, texts, solver, int(steps), args.seed))
            if len(drawn) > 1:
                figures[setting] = compared(drawn[setting], drawn[args.settings[0]], drawn[args.settings[1]])
                print(line(setting, figures[setting]), flush=True)
    first = args.settings[0]
    figures[first] = compared(drawn[first], drawn[first], drawn[args.settings[1]])
    print(line(first, figures[first]))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
