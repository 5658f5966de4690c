"""Speed of CLIP: transformers' CLIPModel and mmgen on the same random weights, images and texts in one run; ratios last.

python benchmarks/clip.py [--repeats 7] [--batches 1 8 64] [--side 480]
The shape is ViT-B/32's, in fp32. Images are JPEG files in memory. "pixels" is the vision tower alone, of pixels that are
prepared; "files" decodes and prepares them too, the peer with its image processor and mmgen with its client, as every caller
uses it; "texts" tokenises and reads captions of 4 to 16 words. Both take turns, after one turn that is not counted; medians.
"""

import argparse
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from setting import setting
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mmgen.clients.image_encoder import ImageEncoderClient
from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime

TARGETS = {"pixels": 1.2, "files": 1.5, "texts": 1.2}
WORDS = 49_406
Way = Callable[[], np.ndarray]


def tokenizer() -> Tokenizer:
    """As many tokens as CLIP's, each a word."""
    ends = {"<|startoftext|>": WORDS, "<|endoftext|>": WORDS + 1}
    made = Tokenizer(models.WordLevel({f"w{n}": n for n in range(WORDS)} | ends, unk_token="<|endoftext|>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing("<|startoftext|> $A <|endoftext|>", special_tokens=list(ends.items()))
    return made


def checkpoint(folder: Path) -> Any:
    """ViT-B/32 with random weights, written there."""
    torch.manual_seed(0)
    peer = transformers.CLIPModel(transformers.CLIPConfig()).eval()
    peer.save_pretrained(folder)
    transformers.CLIPImageProcessor().save_pretrained(folder)
    tokenizer().save(str(folder / "tokenizer.json"))
    return peer


def photographs(count: int, side: int) -> list[bytes]:
    """JPEG files of that height and 4:3, smooth as photographs are."""
    noise, out = np.random.default_rng(0), []
    for _ in range(count):
        image = Image.fromarray(noise.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((side * 4 // 3, side), 3)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90)
        out.append(file.getvalue())
    return out


def opened(files: Sequence[bytes]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(file)) for file in files]


class Peer:
    """transformers, as its documentation says."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.model, self.processor = model, transformers.CLIPImageProcessor.from_pretrained(folder)
        self.tokens = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<|endoftext|>"
        )

    def pixels(self, pixels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return unit(self.model.get_image_features(pixels).pooler_output)

    def files(self, files: Sequence[bytes]) -> np.ndarray:
        return self.pixels(self.processor(opened(files), return_tensors="pt")["pixel_values"])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        told = self.tokens(list(texts), padding=True, return_tensors="pt")
        with torch.inference_mode():
            return unit(self.model.get_text_features(told["input_ids"], told["attention_mask"]).pooler_output)


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def medians(ways: Sequence[Way], repeats: int) -> tuple[list[float], float]:
    """Seconds of each, in turn, and the greatest difference between what the first two give."""
    first = [way() for way in ways]
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, own in zip(ways, times, strict=True):
            began = time.perf_counter()
            way()
            own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in times], float(np.abs(first[0] - first[1]).max())


def compare(peer: Peer, rt: Runtime, ours: ImageEncoderClient, batch: int, args: argparse.Namespace) -> dict[str, float]:
    """Of one batch size: how many times as fast ours is, for each kind of work."""
    files = photographs(batch, args.side)
    rows = ours.model.rows(opened(files))
    pixels = torch.stack([row.pixels for row in rows])
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(WORDS)}" for _ in range(draw.randint(4, 16))) for _ in range(batch)]
    works: dict[str, tuple[Way, Way]] = {
        "pixels": (lambda: peer.pixels(pixels), lambda: np.stack(rt.submit(ours.see, rows))),
        "files": (lambda: peer.files(files), lambda: ours.embed_images(opened(files))),
        "texts": (lambda: peer.texts(texts), lambda: ours.embed_texts(texts)),
    }
    ratios = {}
    for name, ways in works.items():
        (theirs, own), difference = medians(ways, args.repeats)
        ratios[name] = theirs / own
        speeds = f"transformers {batch / theirs:7.1f}/s   mmgen {batch / own:7.1f}/s   {theirs / own:.2f}x"
        print(f"{name:7} batch {batch:3}   {speeds}   (greatest difference {difference:.1e})")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--side", type=int, default=480, help="height of the images in pixels")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        peer = Peer(checkpoint(folder), folder)
        with Runtime(RuntimeConfig(home=folder, device="cpu", image_encoder=f"{folder}#fp32")) as rt:
            print(setting(mmgen="fp32", transformers="fp32"))
            print(f"ViT-B/32, random weights, {args.repeats} repeats in turn")
            found = [compare(peer, rt, rt.seeing(), batch, args) for batch in args.batches]
    for name, target in TARGETS.items():
        ratios = [ratio[name] for ratio in found]
        print(f"{name}: mmgen / transformers {min(ratios):.2f}x to {max(ratios):.2f}x (target {target}x)")


if __name__ == "__main__":
    main()
