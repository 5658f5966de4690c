"""Diffusion transformers: eight requests of different steps and guidance, diffusers one after another, mmgen's scheduler.

python benchmarks/dit.py [--only flux|sd3|qwen] [--side 256] [--steps 8,10,12,14,16,18,20,22] [--precision bf16] [--repeats 3]
    [--chat]
Random networks of FLUX's, SD3's and Qwen-Image's shape of about 0.3 billion weights. Both ways start from embedded prompts and
end in latents, mmgen's through the engine, on the same weights; they take turns and medians are quoted. diffusers runs its
pipelines' own loops, a request at a time. --chat: once more, while a random llama of 25 million weights streams answers, whose
gaps between tokens are compared with the configuration's cap.
"""

import argparse
import copy
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from mixed import make_llama
from setting import setting
from torch import Tensor

from mmgen.config import load_runtime
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.image_params import ImageParams
from mmgen.models.diffusion.conditioning import Conditioning
from mmgen.models.diffusion.denoiser import PRECISIONS
from mmgen.models.diffusion.dit.model import FAMILIES, DiTModel
from mmgen.models.lm import language_model
from mmgen.runners.denoise import DenoiseRequest, DenoiseRunner
from mmgen.runners.generation import TextRequest, Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import TextParams

WORDS, WIDTH = 128, 1024  # tokens of a prompt, and their width
STEPS, GUIDANCE = "8,10,12,14,16,18,20,22", (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
FLOW = {"use_dynamic_shifting": True, "shift": 3.0}


def vae(channels: int) -> Any:
    """Never run: as many latents as the network has, of as many pixels."""
    blocks = (8, 8, 8, 8)
    return diffusers.AutoencoderKL(
        block_out_channels=blocks, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels, norm_num_groups=4,
    )  # fmt: skip


def flux() -> Any:
    network = diffusers.FluxTransformer2DModel(
        num_layers=4, num_single_layers=8, num_attention_heads=8, joint_attention_dim=WIDTH, pooled_projection_dim=768,
        guidance_embeds=True,
    )  # fmt: skip
    none = dict.fromkeys(("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
    return diffusers.FluxPipeline(
        transformer=network, vae=vae(16), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**FLOW), **none
    )


def sd3() -> Any:
    network = diffusers.SD3Transformer2DModel(
        num_layers=8, num_attention_heads=16, joint_attention_dim=WIDTH, caption_projection_dim=1024, pos_embed_max_size=96,
    )  # fmt: skip
    none = dict.fromkeys(f"{part}{n}" for part in ("text_encoder", "tokenizer") for n in ("", "_2", "_3"))
    return diffusers.StableDiffusion3Pipeline(
        transformer=network, vae=vae(16), scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), **none
    )


def qwen() -> Any:
    network = diffusers.QwenImageTransformer2DModel(num_layers=8, num_attention_heads=8, joint_attention_dim=WIDTH)
    images = diffusers.AutoencoderKLQwenImage(base_dim=8, z_dim=16, num_res_blocks=1)
    return diffusers.QwenImagePipeline(
        transformer=network, vae=images, scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**FLOW), text_encoder=None,
        tokenizer=None,
    )  # fmt: skip


MAKERS: dict[str, Callable[[], Any]] = {"flux": flux, "sd3": sd3, "qwen": qwen}


class Bench:
    """A pipeline twice: diffusers' own network, and ours."""

    def __init__(self, name: str, dtype: torch.dtype, side: int) -> None:
        torch.manual_seed(0)
        pipeline = MAKERS[name]()
        pipeline.transformer.requires_grad_(False).eval().to(dtype)
        pipeline.set_progress_bar_config(disable=True)
        self.name, self.side, self.dtype = name, side, dtype
        parts = {part: one for part, one in pipeline.components.items() if part != "transformer"}
        self.peer = type(pipeline)(transformer=copy.deepcopy(pipeline.transformer), **parts)
        self.peer.set_progress_bar_config(disable=True)
        self.model = DiTModel(pipeline, FAMILIES[type(pipeline).__name__](pipeline), name)
        pooled = {"flux": 768, "sd3": 2048}.get(name)
        self.told = [
            Conditioning(
                torch.randn(WORDS, WIDTH, dtype=dtype), None, None if pooled is None else torch.randn(pooled, dtype=dtype)
            )
            for _ in range(2)
        ]
        self.weights = sum(one.numel() for one in pipeline.transformer.parameters())

    @torch.no_grad()
    def theirs(self, steps: int, guidance: float, seed: int) -> Tensor:
        """The pipeline's own call, without text encoders and decoder."""
        said, not_said = self.told
        given: dict[str, Any] = {"prompt_embeds": said.tokens[None]}
        if self.name == "qwen":
            mask = torch.ones(1, WORDS, dtype=torch.bool)
            given |= {"prompt_embeds_mask": mask, "negative_prompt_embeds": not_said.tokens[None],
                      "negative_prompt_embeds_mask": mask, "true_cfg_scale": guidance}  # fmt: skip
        else:
            given |= {"pooled_prompt_embeds": said.pooled[None], "guidance_scale": guidance}
        if self.name == "sd3":
            given |= {"negative_prompt_embeds": not_said.tokens[None], "negative_pooled_prompt_embeds": not_said.pooled[None]}
        generator = torch.Generator().manual_seed(seed)
        out = self.peer(
            num_inference_steps=steps, height=self.side, width=self.side, generator=generator, output_type="latent", **given
        )
        return out.images[0]

    def job(self, steps: int, guidance: float, seed: int) -> Job:
        params = ImageParams(solver="euler", steps=steps, guidance=guidance, width=self.side, height=self.side)
        table = self.model.table("euler", steps, 1.0, self.side, self.side)
        return Job("denoise", DenoiseRequest(params, self.told[0], table, self.told[1]), seed=seed)


def one_after_another(bench: Bench, steps: Sequence[int]) -> None:
    for seed, (count, guidance) in enumerate(zip(steps, GUIDANCE, strict=False)):
        bench.theirs(count, guidance, seed)


def together(engine: Engine, bench: Bench, steps: Sequence[int]) -> None:
    orders = enumerate(zip(steps, GUIDANCE, strict=False))
    handles = [engine.submit(bench.job(count, guidance, n)) for n, (count, guidance) in orders]
    for handle in handles:
        handle.result()


class Chat:
    """Answers one after another, beside other work."""

    PROMPT, ANSWER = 32, 64  # tokens

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            make_llama(Path(folder), large=False)
            self.lm = language_model.load(Path(folder), "cpu")
        self.lm.pack()
        letters: Any = Vocabulary(lambda ids: "x" * len(ids), frozenset())
        self.runner = TextRunner(self.lm, letters, memory=1 << 27)
        self.gaps: list[float] = []  # milliseconds from one token to the next
        self.ended = threading.Event()

    def stream(self, engine: Engine) -> None:
        """Until `ended` is set."""
        params = TextParams(strategy="greedy", max_tokens=self.ANSWER)
        while not self.ended.is_set():
            ask = TextRequest(list(range(1, 1 + self.PROMPT)), params)
            last: float | None = None
            for _ in engine.submit(Job("text", ask, Request(user="chat", priority="interactive"), seed=0)).events():
                now = time.perf_counter()
                if last is not None:
                    self.gaps.append(1000 * (now - last))
                last = now


def beside_a_chat(bench: Bench, steps: Sequence[int]) -> str:
    """The requests while a chat streams: what its gaps were."""
    chat, cap = Chat(), load_runtime().max_gap_ms
    with Engine({"denoise": DenoiseRunner(bench.model), "text": chat.runner}, max_gap_ms=cap) as engine:
        streaming = threading.Thread(target=chat.stream, args=(engine,))
        streaming.start()
        began = time.perf_counter()
        together(engine, bench, steps)
        seconds = time.perf_counter() - began
        chat.ended.set()
        streaming.join()
        over = sum(engine.scheduler.broken.values())
    gaps = sorted(chat.gaps)
    middle, late = statistics.median(gaps), gaps[len(gaps) * 99 // 100]
    return (
        f"{bench.name}, beside a chat {seconds:.2f} s; {len(gaps)} gaps between tokens, median {middle:.1f} ms, "
        f"99 % {late:.1f} ms, longest {gaps[-1]:.1f} ms (cap {cap} ms, passed by {over} quanta)"
    )


def in_turn(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, work in ways.items():
            began = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=MAKERS)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16", help="of both sides")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--chat", action="store_true", help="measure a chat's gaps beside it, too")
    args = parser.parse_args()
    steps = [int(one) for one in args.steps.split(",")]
    print(setting(mmgen=args.precision, diffusers=args.precision))
    for name in [args.only] if args.only else MAKERS:
        bench = Bench(name, PRECISIONS[args.precision], args.side)
        with Engine({"denoise": DenoiseRunner(bench.model)}) as engine:
            engine.submit(bench.job(1, 3.0, 0)).result()
            bench.theirs(1, 3.0, 0)
            ways = {"diffusers": partial(one_after_another, bench, steps), "mmgen": partial(together, engine, bench, steps)}
            found = in_turn(ways, args.repeats)
        for side, seconds in found.items():
            print(f"{name}, {bench.weights / 1e9:.2f}B, {len(steps)} requests, {side:10} {seconds:7.2f} s")
        if args.chat:
            print(beside_a_chat(bench, steps))
        print(f"{name}: mmgen / diffusers {found['diffusers'] / found['mmgen']:.2f}x (target 1.5x)")


if __name__ == "__main__":
    main()
