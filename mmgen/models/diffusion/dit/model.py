"""A diffusion transformer in diffusers' folder format, evaluated step by step: what the denoiser's runner and client call.

Knows one evaluation of the network; not steps, guidance between rows, or who asks. Its family knows how it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.errors import BadRequest
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu.batch_invariant_layers import AttentionMode, hold
from mmgen.models.diffusion import pipeline_files
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.adapters.adapter import AdapterFiles, ScaledAdapters
from mmgen.models.diffusion.autoencoder import CLASSES
from mmgen.models.diffusion.conditioning import Conditioning, stack
from mmgen.models.diffusion.control.dit_controlnet import controlled
from mmgen.models.diffusion.control.row_control import RowControl
from mmgen.models.diffusion.denoiser import PRECISIONS
from mmgen.models.diffusion.denoiser_base import DenoiserBase
from mmgen.models.diffusion.dit.autoencoders import autoencoder_of
from mmgen.models.diffusion.dit.family import DiTFamily
from mmgen.models.diffusion.dit.flux import Flux
from mmgen.models.diffusion.dit.flux2 import Flux2, Flux2Klein
from mmgen.models.diffusion.dit.flux_kontext import FluxKontext
from mmgen.models.diffusion.dit.lumina2 import Lumina2
from mmgen.models.diffusion.dit.pixart import PixArt
from mmgen.models.diffusion.dit.qwen_image import QwenImage
from mmgen.models.diffusion.dit.qwen_image_edit import QwenImageEdit, QwenImageEditPlus
from mmgen.models.diffusion.dit.sana import Sana
from mmgen.models.diffusion.dit.sd3 import StableDiffusion3
from mmgen.models.diffusion.dit.z_image import ZImage
from mmgen.models.diffusion.prompts.textual_inversion import LearnedWord
from mmgen.models.diffusion.single_file import vae as vae_files
from mmgen.models.diffusion.single_file.transformers import model as transformer_files
from mmgen.models.diffusion.solver_table import SolverTable

FAMILIES: dict[str, type[DiTFamily]] = {
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
    "FluxKontextPipeline": FluxKontext,
    "Flux2Pipeline": Flux2,
    "Flux2KleinPipeline": Flux2Klein,
    "QwenImagePipeline": QwenImage,
    "QwenImageEditPipeline": QwenImageEdit,
    "QwenImageEditPlusPipeline": QwenImageEditPlus,
    "ZImagePipeline": ZImage,
    "Lumina2Pipeline": Lumina2,
    "Lumina2Text2ImgPipeline": Lumina2,
    "PixArtAlphaPipeline": PixArt,
    "PixArtSigmaPipeline": PixArt,
    "SanaPipeline": Sana,
}
"""diffusers' pipeline, as model_index.json names it -> what it has of its own."""
TENSORS = 16
"""Of a token's width that a block holds at once: its states, queries, keys, values, and the feed-forward's inner ones."""

TOGETHER = 768
"""Tokens of a pass on a CPU: more are no faster, as each weight is used hundreds of times already. SD3's shape with 0.05
billion weights at 256 pixels, bf16, one Zen 4 core: 1 row 127 ms, 2 rows 220, 8 rows 847, 16 rows 1,763."""


class DiTModel(DenoiserBase):
    """A transformer with its text encoders and its autoencoder, all in evaluation mode on one device."""

    conditional = True

    def __init__(self, pipeline: Any, family: DiTFamily, name: str = "") -> None:
        self.pipeline, self.family, self.name = pipeline, family, name
        self.network = pipeline.transformer
        self.images = autoencoder_of(pipeline.vae)
        self.device, self.dtype = self.network.device, self.network.dtype
        self.channels = family.channels
        self.told = "edit" if family.edits else ""
        self.grain = self.step = self.images.factor * family.patch
        self.size = self.images.factor * int(family.sample_size or self._trained())
        self.networks: dict[str, torch.nn.Module] = {"transformer": self.network}
        self.adapted = {"transformer": AdaptedLayers(self.network)}
        self.adapters = AdapterFiles(self.networks, name)
        parts = [hold(part) for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
        self.weight_bytes = sum(one.nbytes for part in parts for one in (*part.parameters(), *part.buffers()))

    def _trained(self) -> int:
        """Latent places a side, where the configuration says so; else those of 1,024 pixels."""
        return int(self.network.config.get("sample_size") or 1024 // self.images.factor)

    def pack(self) -> None:
        """Nothing is laid out anew: the network is diffusers' own."""

    @property
    def guidance_embedded(self) -> bool:
        """The network is told the guidance scale itself: there are no unconditional rows."""
        return self.family.hears_guidance

    @torch.inference_mode()
    def embed_prompts(
        self, prompts: Sequence[str], adapters: Sequence[ScaledAdapters] = (), learned: Sequence[LearnedWord] = ()
    ) -> list[Conditioning]:
        """A condition a prompt. Raises TooLong for one that its pipeline would cut."""
        for prompt in prompts:
            self.family.check_length(prompt)
        return [self.family.embed(prompt) for prompt in prompts]

    @torch.inference_mode()
    def embed_negative(self, prompt: str) -> Conditioning:
        """What the unconditional rows of a guided image are told."""
        self.family.check_length(prompt)
        return self.family.embed_negative(prompt)

    @torch.inference_mode()
    def embed_seeing(self, prompt: str, images: Sequence[Tensor]) -> Conditioning:
        """A prompt beside the image that it changes and those that it refers to, (3, H, W) in [-1, 1] each."""
        self.family.check_length(prompt)
        return self.family.embed_seeing(prompt, images)

    def reference(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        """Latents of an image to be changed, (3, H, W) in [-1, 1] -> (C, h, w)."""
        return self.encode(pixels[None])[0]

    def learned_word(self, path: Path) -> LearnedWord:
        """Raises BadRequest: textual inversion is of CLIP."""
        raise BadRequest(f"{path.name} is a learned word of CLIP's, which {self.name} does not read; leave it out")

    @torch.inference_mode()
    def predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Sequence[Conditioning],
        guidance: Tensor | None = None,
        adapters: Sequence[ScaledAdapters] = (),
        controls: Sequence[Sequence[RowControl]] = (),
    ) -> Tensor:
        """One evaluation of the network; see `DenoiserModel.predict`. Prompts may be of different lengths.

        On a GPU shorter ones are padded, so that all rows share one pass. A CPU is busy with one row already, so rows of one
        length share a pass there, and no more than TOGETHER says: then a row's numbers are the same, to the bit, whatever the
        others say, and no layer takes so long that a chat beside it has to wait.
        """
        out = torch.empty(x.shape, device=self.device)
        further = self._referred(conditions[0])  # rows of one batch refer to images of the same sizes
        for rows in self._passes([_seen(one) for one in conditions], self._tokens(*x.shape[-2:]) + further):
            out[rows] = self._together(
                x[rows],
                timesteps[rows],
                [conditions[row] for row in rows],
                None if guidance is None else guidance[rows].to(self.device),
                [adapters[row] for row in rows] if adapters else (),
                [controls[row] for row in rows] if controls else (),
            )
        return out

    def _passes(self, lengths: Sequence[int], tokens: int) -> list[list[int]]:
        """Which rows share a pass, of prompts of these lengths and images of so many tokens."""
        if self.device.type != "cpu":
            return [list(range(len(lengths)))]
        found = []
        for length in dict.fromkeys(lengths):
            rows, most = [row for row, own in enumerate(lengths) if own == length], max(1, TOGETHER // (tokens + length))
            found += [rows[first : first + most] for first in range(0, len(rows), most)]
        return found

    def _together(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Sequence[Conditioning],
        guidance: Tensor | None,
        adapters: Sequence[ScaledAdapters],
        controls: Sequence[Sequence[RowControl]] = (),
    ) -> Tensor:
        """One pass."""
        adapted, changed = self._adapted(adapters, "transformer", range(len(x))), controlled(self.network, controls)
        with adapted, changed, AttentionMode():
            out = self.family.predict(
                x.to(self.device, self.dtype), timesteps.to(self.device), self._told(conditions), guidance
            )
        return out.float()

    def _told(self, conditions: Sequence[Conditioning]) -> Conditioning:
        made = stack(conditions)
        parts = (made.tokens, made.mask, made.pooled, made.image)
        tokens, mask, pooled, image = (None if one is None else one.to(self.device) for one in parts)
        return Conditioning(tokens, mask, pooled, image, tuple(one.to(self.device) for one in made.references))

    def guide(self, outputs: Tensor, guided: Tensor, scale: Tensor, rescale: Tensor) -> Tensor:
        """See `mmgen.models.diffusion.guidance.guide`; families differ in how they mix."""
        return self.family.guide(outputs, guided, scale, rescale)

    def table(self, solver: str, steps: int, strength: float, width: int, height: int) -> SolverTable:
        """The coefficients of one job."""
        return self.family.table(solver, steps, strength, height // self.factor, width // self.factor)

    def places(self, height: int, width: int) -> float:
        """How often a weight is used in an evaluation, about, at that latent size."""
        return float(self._tokens(height, width))

    def _tokens(self, height: int, width: int) -> int:
        """Of the latents, and of an image that is changed."""
        return self.family.tokens(height, width) * (2 if self.family.edits else 1)

    def _referred(self, condition: Conditioning) -> int:
        """Tokens of the images that a prompt refers to."""
        return sum(self.family.tokens(*one.shape[-2:]) for one in condition.references)

    def step_bytes(self, height: int, width: int) -> int:
        """About what one row of a forward pass holds at its peak, at that latent size; as large a prompt as is read."""
        return self._bytes_of(self._tokens(height, width) + self.family.longest)

    def reference_bytes(self, condition: Conditioning) -> int:
        return self._bytes_of(self._referred(condition))

    def _bytes_of(self, tokens: int) -> int:
        config = self.network.config
        heads = config.get("num_attention_heads") or config.get("n_heads") or 1
        width_of_token = config.get("dim") or config.get("hidden_size") or heads * (config.get("attention_head_dim") or 64)
        return int(self.dtype.itemsize) * TENSORS * tokens * int(width_of_token)


def _seen(condition: Conditioning) -> int:
    """Tokens of a prompt that a network attends to."""
    if condition.mask is not None:
        return int(condition.mask.sum())
    return 0 if condition.tokens is None else len(condition.tokens)


def load(
    folder: Path,
    device: str = "cpu",
    name: str = "",
    precision: str = "",
    vae: Path | None = None,
    text_encoders: Sequence[Path] = (),
) -> DiTModel:
    """The registry's loader for diffusion transformers whose loop is ours: from a folder, or a single file.

    vae: an autoencoder, a folder or a file, instead of the model's own.
    text_encoders: files and folders, for a single file that has none.
    """
    if precision not in PRECISIONS:
        raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
    if folder.is_file():
        pipeline = transformer_files.load(folder, device, PRECISIONS[precision], vae, text_encoders)
    else:
        if text_encoders:
            raise BadRequest(f"{name or folder} has its own text encoders; leave --text-encoder out")
        pipeline = pipeline_files.load(folder, device, precision)
        if vae is not None:
            pipeline.vae = _other_vae(vae, pipeline, device)
    return DiTModel(pipeline, FAMILIES[type(pipeline).__name__](pipeline), name or folder.name)


def handles(folder: Path) -> bool:
    """Whether a folder or file is a model for `load`, by the pipeline or the tensors that it names."""
    if folder.is_file():
        return transformer_files.handles(folder)
    path = folder / "model_index.json"
    return path.is_file() and str(read_json(path).get("_class_name", "")) in FAMILIES


def _other_vae(vae: Path, pipeline: Any, device: str) -> Any:
    """Latents are scaled as the model's own autoencoder says, which a single file does not."""
    if type(pipeline.vae).__name__ not in CLASSES:
        raise BadRequest(f"its VAE is of class {type(pipeline.vae).__name__}, for which no other is read; leave --vae out")
    said = pipeline.vae.config
    scales = {one: float(said[one]) for one in ("scaling_factor", "shift_factor") if said.get(one) is not None}
    made: Any = vae_files.from_path(vae, scales, device, pipeline.vae.dtype)
    if made.channels != int(said["latent_channels"]):
        raise BadRequest(f"{vae} has {made.channels} latent channels, the model {said['latent_channels']}; take its own VAE")
    return made.vae
