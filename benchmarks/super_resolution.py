"""How well a network makes the images of a denoiser four times as large, beside interpolation, on things it was not trained on.

python benchmarks/super_resolution.py DATA [--network FILE] [--denoiser REF] [--pairs FOLDER] [--count 120] [--json OUT]
[--sheet OUT.png]
DATA is the folder of `mmgen data emoji`. The true images are rendered from the vectors of things that training held out.
Clean: their box filter to 64 pixels is made larger. Decoded: the same after the denoiser's decoder. Redrawn: after the
denoiser too, from a little noise. PSNR in dB; sharpness: the steepest slope at the true edges as a share of the true one;
ripple: the mean slope in areas of one colour, in levels of 255.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import mmgen
from mmgen import hub, weight_files
from mmgen.models.diffusion.upscalers import image_upscaler
from mmgen.training.data import super_resolution_pairs
from mmgen.training.data.super_resolution_pairs import SCALE, PairsRecipe, SuperResolutionPairs
from mmgen.training.eval import edge_metrics
from mmgen.training.recipes.super_resolution import values

Enlarge = Callable[[Tensor], Tensor]


def interpolated(mode: str) -> Enlarge:
    return lambda small: F.interpolate(small, scale_factor=float(SCALE), mode=mode).clamp(0, 1)


def by_network(path: Path) -> Enlarge:
    network = image_upscaler.load(path)
    return lambda small: torch.cat([(network.decode(part * 2 - 1) + 1) / 2 for part in small.split(8)])


def measure(pairs: SuperResolutionPairs, ways: dict[str, Enlarge]) -> dict[str, dict[str, dict[str, float]]]:
    """Input -> way -> figures."""
    inputs = {
        "clean": (pairs.clean, np.ones(len(pairs), bool)),
        "decoded": (pairs.drawn, ~pairs.redrawn),
        "redrawn": (pairs.drawn, pairs.redrawn),
    }
    found = {}
    for name, (small, rows) in inputs.items():
        if rows.any():
            shown, truth = values(small[rows]), values(pairs.large[rows])
            found[name] = {way: edge_metrics.measured(enlarge(shown), truth) for way, enlarge in ways.items()}
    return found


def sheet(pairs: SuperResolutionPairs, enlarge: Enlarge, count: int = 12) -> Image.Image:
    """A row a scene: what is given, bicubic, the network, the truth."""
    rows = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    given, truth = values(pairs.drawn[rows]), values(pairs.large[rows])
    shown = [interpolated("nearest")(given), interpolated("bicubic")(given), enlarge(given), truth]
    whole = torch.cat([torch.cat(list(one), 1) for one in shown], 2)  # (3, rows * 256, 4 * 256)
    return Image.fromarray((whole * 255).round().byte().permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--denoiser", default="embedded:emoji")
    parser.add_argument("--network", type=Path, help="default: the denoiser's own")
    parser.add_argument(
        "--pairs", type=Path, help="folder of pairs that are there, such as OUT/pairs/held_out of a training run"
    )
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path, help="some of them side by side, as a PNG")
    args = parser.parse_args()
    path = args.network or hub.resolve(args.denoiser, kind="denoiser") / weight_files.ENLARGER
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.pairs
        if folder is None:
            recipe, client = PairsRecipe(count=1, held_out=args.count), mmgen.Runtime.shared().denoiser(args.denoiser)
            folder = super_resolution_pairs.pairs(Path(scratch) / "pairs", args.data, recipe, client) / "held_out"  # type: ignore[arg-type]
        pairs, network = SuperResolutionPairs.open(folder), by_network(path)
        found = measure(pairs, {"nearest": interpolated("nearest"), "bicubic": interpolated("bicubic"), "network": network})
        if args.sheet:
            sheet(pairs, network).save(args.sheet)
    print(f"{'':10}{'':10}{'PSNR':>8}{'sharpness':>11}{'ripple':>8}")
    for name, ways in found.items():
        for way, one in ways.items():
            print(f"{name:10}{way:10}{one['psnr']:8.2f}{one['sharpness']:11.3f}{one['ripple']:8.2f}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
