"""Speed of CLIP: transformers' CLIPModel, OpenVINO and mmgen on the same random weights, images and texts; ratios last.

python benchmarks/clip.py [--repeats 7] [--batches 1 8 64] [--side 480] [--processor-time]
The shape is ViT-B/32's. Peers run in fp32 and bf16, and the faster one counts; mmgen in fp32, bf16 and int8. Images are JPEG
files in memory. "pixels" is the vision tower alone, of pixels that are prepared; "files" decodes and prepares them too, the
peer with transformers' image processor and mmgen with its client, as every caller uses it; "texts" tokenises and reads captions
of 4 to 16 words. All take turns, after one turn that is not counted; medians.
"""

import argparse
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
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

TARGET = 1.3
PRECISIONS = ("fp32", "bf16", "int8")
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

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self.model, self.dtype = transformers.CLIPModel.from_pretrained(folder, dtype=dtype).eval(), dtype
        self.processor = transformers.CLIPImageProcessor.from_pretrained(folder)
        self.tokens = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(folder / "tokenizer.json"), pad_token="<|endoftext|>"
        )

    def pixels(self, pixels: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return unit(self.model.get_image_features(pixels.to(self.dtype)).pooler_output.float())

    def files(self, files: Sequence[bytes]) -> np.ndarray:
        return self.pixels(self.processor(opened(files), return_tensors="pt")["pixel_values"])

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        told = self.tokens(list(texts), padding=True, return_tensors="pt")
        return self.ids(told["input_ids"], told["attention_mask"])

    def ids(self, ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            return unit(self.model.get_text_features(ids, mask).pooler_output.float())


class OpenVINO(Peer):
    """The same graphs, compiled."""

    def __init__(self, folder: Path, precision: str) -> None:
        import openvino

        super().__init__(folder, torch.float32)
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        image, text = Features(self.model, "get_image_features"), Features(self.model, "get_text_features")
        pixels, ids = torch.zeros(1, 3, 224, 224), torch.tensor([[WORDS, 5, WORDS + 1]])
        graphs = [openvino.convert_model(image, example_input=(pixels,))]
        graphs.append(openvino.convert_model(text, example_input=(ids, torch.ones_like(ids))))
        self.image, self.text = (openvino.compile_model(graph, "CPU", options) for graph in graphs)

    def pixels(self, pixels: torch.Tensor) -> np.ndarray:
        return unit(torch.from_numpy(self.image((pixels.numpy(),))[0]))

    def ids(self, ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        return unit(torch.from_numpy(self.text((ids.numpy(), mask.numpy()))[0]))


class Features(torch.nn.Module):
    """One of a model's functions as a module."""

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = getattr(self.model, self.name)(*inputs).pooler_output
        return found


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def medians(ways: dict[str, Way], args: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Seconds of each, in turn, and the least cosine of mmgen's bf16 to the first."""
    clock = time.process_time if args.processor_time else time.perf_counter
    first = {name: way() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(args.repeats):
        for name, way in ways.items():
            began = clock()
            way()
            times[name].append(clock() - began)
    cosine = float((first["mmgen bf16"] * next(iter(first.values()))).sum(1).min())
    return {name: statistics.median(own) for name, own in times.items()}, cosine


def compare(
    peers: dict[str, Peer], rt: Runtime, ours: dict[str, ImageEncoderClient], batch: int, args: argparse.Namespace
) -> dict[str, float]:
    """Of one batch size: how many times as fast as the fastest peer is mmgen in fp32 or bf16, for each kind of work."""
    files = photographs(batch, args.side)
    rows = ours["fp32"].model.rows(opened(files))
    pixels = torch.stack([row.pixels for row in rows])
    draw = random.Random(0)
    texts = [" ".join(f"w{draw.randrange(WORDS)}" for _ in range(draw.randint(4, 16))) for _ in range(batch)]
    works: dict[str, dict[str, Way]] = {
        "pixels": {
            **{name: partial(peer.pixels, pixels) for name, peer in peers.items()},
            **{f"mmgen {name}": partial(seen, rt, client, rows) for name, client in ours.items()},
        },
        "files": {
            **{name: partial(peer.files, files) for name, peer in peers.items()},
            **{f"mmgen {name}": partial(read, client, files) for name, client in ours.items()},
        },
        "texts": {
            **{name: partial(peer.texts, texts) for name, peer in peers.items()},
            **{f"mmgen {name}": partial(client.embed_texts, texts) for name, client in ours.items()},
        },
    }
    ratios = {}
    for name, ways in works.items():
        found, cosine = medians(ways, args)
        best = min(peers, key=found.__getitem__)
        ratios[name] = found[best] / min(found["mmgen fp32"], found["mmgen bf16"])
        speeds = ", ".join(f"{way} {batch / seconds:.1f}/s" for way, seconds in found.items())
        print(f"{name:7} batch {batch:3}: {speeds}; to {best} {ratios[name]:.2f}x, least cosine of bf16 {cosine:.4f}")
    return ratios


def seen(rt: Runtime, client: ImageEncoderClient, rows: Sequence[Any]) -> np.ndarray:
    return np.stack(rt.submit(client.see, rows))


def read(client: ImageEncoderClient, files: Sequence[bytes]) -> np.ndarray:
    return client.embed_images(opened(files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--side", type=int, default=480, help="height of the images in pixels")
    parser.add_argument("--processor-time", action="store_true", help="beside other work, with one thread: not the wall's time")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        checkpoint(folder)
        peers = {
            f"transformers {name}": Peer(folder, dtype) for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        }
        if find_spec("openvino"):
            peers |= {f"OpenVINO {name}": OpenVINO(folder, name) for name in ("f32", "bf16")}
        with Runtime(RuntimeConfig(home=folder, device="cpu")) as rt:
            print(setting(mmgen="fp32, bf16 and int8", peers="fp32 and bf16"))
            print(f"ViT-B/32, random weights, {args.repeats} repeats in turn")
            ours = {name: rt.seeing(f"{folder}#{name}") for name in PRECISIONS}
            found = [compare(peers, rt, ours, batch, args) for batch in args.batches]
    for name in found[0]:
        ratios = [ratio[name] for ratio in found]
        print(f"{name}: mmgen / the fastest peer {min(ratios):.2f}x to {max(ratios):.2f}x (target {TARGET}x)")


if __name__ == "__main__":
    main()
