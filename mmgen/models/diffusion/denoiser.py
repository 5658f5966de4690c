"""A text-to-image model in diffusers' folder format: prompts to conditions, noisy latents to predictions, latents to images.

Knows one evaluation of the network; not steps, solvers, guidance between rows, or who asks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from mmgen import hub, weight_files
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu import onednn
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.cpu.kernels import kernels
from mmgen.models.diffusion import edm_schedule, solvers
from mmgen.models.diffusion import unet as own_unet
from mmgen.models.diffusion.adapters.adapted_layers import AdaptedLayers
from mmgen.models.diffusion.adapters.adapter import AdapterFiles, ScaledAdapters
from mmgen.models.diffusion.autoencoder import Autoencoder, LatentAutoencoder, PixelAutoencoder
from mmgen.models.diffusion.conditioning import (
    ClipConditioner,
    Conditioning,
    NoConditioner,
    PromptConditioner,
    SentenceConditioner,
    TextConditioner,
    stack,
)
from mmgen.models.diffusion.control.controlled_pass import image_prompts, unet_arguments
from mmgen.models.diffusion.control.image_prompts import ImagePrompts
from mmgen.models.diffusion.control.row_control import RowControl
from mmgen.models.diffusion.denoiser_base import DenoiserBase
from mmgen.models.diffusion.dit import flow_schedule
from mmgen.models.diffusion.edm_schedule import EDMSchedule
from mmgen.models.diffusion.fused_layers import fuse
from mmgen.models.diffusion.prompts import textual_inversion
from mmgen.models.diffusion.prompts.textual_inversion import LearnedWord
from mmgen.models.diffusion.schedule import NoiseSchedule
from mmgen.models.diffusion.solver_table import SolverTable
from mmgen.models.diffusion.upscaler import HalfSizeAutoencoder, Upscaler
from mmgen.models.diffusion.upscalers import image_upscaler
from mmgen.models.diffusion.upscalers.image_upscaler import ImageUpscaler
from mmgen.models.encoders.sentence_encoder import SentenceEncoder

UNETS = ("UNet2DConditionModel", "UNet2DModel")
PIPELINES = frozenset(
    (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionXLPipeline",
        "StableDiffusionXLImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
        "StableDiffusionXLInpaintPipeline",
        "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionXLInstructPix2PixPipeline",
        "LatentConsistencyModelPipeline",
        "DDPMPipeline",
        "DDIMPipeline",
    )
)
"""Pipelines of diffusers whose loop is ours: one UNet, asked once a step for every row."""
PRECISIONS = {"": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Told = Literal["", "inpaint", "edit"]
"""Of what image a UNet is told beside the latents: none, one with a mask in it, or one to edit."""


class DenoiserModel(DenoiserBase):
    """A UNet with its text side and its autoencoder, all in evaluation mode on one device."""

    def __init__(
        self,
        unet: Any,
        text: TextConditioner,
        images: Autoencoder,
        scheduler_config: Mapping[str, Any],
        name: str = "",
        enlarger: ImageUpscaler | None = None,
    ) -> None:
        text = text if hasattr(text, "networks") else PromptConditioner(text)
        self.unet, self.text, self.images, self.name, self.enlarger = unet, text, images, name, enlarger
        self.scheduler_config = dict(scheduler_config)
        self.device, self.dtype = unet.device, unet.dtype
        config = unet.config
        self.channels, takes = int(images.channels), int(config.in_channels)
        kinds: dict[int, Told] = {self.channels: "", 2 * self.channels: "edit", 2 * self.channels + 1: "inpaint"}
        if takes not in kinds or int(config.out_channels) != self.channels:
            raise BadWeights(
                f"the UNet takes {takes} channels and gives {config.out_channels}, its images have {self.channels}; only "
                "models where all three agree run here, and those that are told an image to inpaint or to edit"
            )
        self.told = kinds[takes]
        self.scaled_reference = self.scheduler_config.get("_class_name") in edm_schedule.SCHEDULERS  # as CosXL edit has it
        self.conditional = hasattr(config, "cross_attention_dim")
        self.guidance_width = getattr(config, "time_cond_proj_dim", None)
        self.grain = images.factor * 2 ** (len(config.block_out_channels) - 1)
        self.step = images.factor if self.conditional else self.grain
        sample = config.sample_size or 64
        self.size = images.factor * int(sample if isinstance(sample, int) else max(sample))  # pixels a side
        self.channels_last = self.device.type == "cuda"  # on a CPU `pack` gains what it would, and more
        if self.channels_last:
            unet.to(memory_format=torch.channels_last)
        modules = [hold(module) for module in (unet, *text.modules(), *self._pixel_modules())]
        self.networks: dict[str, torch.nn.Module] = {"unet": unet, **text.networks()}
        self.adapted = {name: AdaptedLayers(network) for name, network in self.networks.items()}
        self.adapters = AdapterFiles(self.networks, name)
        self.weight_bytes = sum(parameter.nbytes for module in modules for parameter in module.parameters())

    @classmethod
    def load(
        cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "", vae: Path | None = None
    ) -> DenoiserModel:
        """From a folder with `unet/`, `scheduler/` and what else the model has, or a single file.

        vae: an autoencoder, a folder or a file, instead of the model's own.
        Raises BadWeights, in one line.
        """
        if precision not in PRECISIONS:
            raise BadRequest(f"precision {precision!r} is unknown; write {', '.join(filter(None, PRECISIONS))} after the #")
        dtype = PRECISIONS[precision]
        if folder.is_file():
            return cls(*_whole(folder, device, dtype, vae), name or folder.name)._checked()
        if not handles(folder):
            raise BadWeights(
                f"{folder} is a {_pipeline(folder)}, which does not run step by step here; run it through diffusers"
            )
        found = pretrained.class_name(folder / "unet")
        if found not in UNETS:
            raise BadWeights(f"{folder / 'unet'} is of class {found}; known are {' and '.join(UNETS)}")
        scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
        unet = _network(folder, found, device, dtype)
        images = _images(folder, unet, device, dtype) if vae is None else _own_vae(vae, folder, unet, device, dtype)
        text, enlarger = _text_side(folder, unet, device, dtype), _enlarger(folder, device)
        made = cls(unet, text, images, scheduler, name or folder.name, enlarger)._checked()
        index = folder / "model_index.json"
        made.scaled_reference |= index.is_file() and bool(read_json(index).get("is_cosxl_edit", False))
        return made

    def _checked(self) -> DenoiserModel:
        """Raises ConfigError for noise levels that are not covered."""
        if self.flow is None:
            _ = self.schedule
        return self

    def pack(self) -> None:
        """Makes the networks ready for drawing on a CPU: weights laid out, blocks fused, activations with their channels last.

        So the kernels write what the next one reads, where torch's plain order costs 98 reorders a pass of the embedded UNet,
        33 of them of weights; in fp32 only where group norms are computed by our own kernel, as torch's sees the batch.
        """
        if self.device.type != "cpu":
            return
        for module in (self.unet, *self._pixel_modules()):
            onednn.pack(fuse(module), (torch.float32, torch.bfloat16))
        if self.dtype == torch.bfloat16 or (self.dtype == torch.float32 and kernels() is not None):
            self.channels_last = True
            if isinstance(self.images, LatentAutoencoder):
                self.images.layout = torch.channels_last

    def _pixel_modules(self) -> list[torch.nn.Module]:
        """Networks behind the UNet."""
        return [*self.images.modules(), *(self.enlarger.modules() if self.enlarger else ())]

    @property
    def network(self) -> Any:
        """What is evaluated once a step."""
        return self.unet

    @property
    def guidance_embedded(self) -> bool:
        """The network is told the guidance scale itself (LCM): there are no unconditional rows."""
        return self.guidance_width is not None

    @cached_property
    def image_prompts(self) -> ImagePrompts:
        return ImagePrompts(self.unet)

    @cached_property
    def schedule(self) -> NoiseSchedule | EDMSchedule:
        """ConfigError for one that is not covered."""
        edm = self.scheduler_config.get("_class_name") in edm_schedule.SCHEDULERS
        return (EDMSchedule if edm else NoiseSchedule).from_config(self.scheduler_config)

    @cached_property
    def flow(self) -> Any:
        """Its scheduler of diffusers where it was trained by flow matching; None: it was trained on a schedule of noise."""
        if self.scheduler_config.get("_class_name") != "FlowMatchEulerDiscreteScheduler":
            return None
        import diffusers

        return diffusers.FlowMatchEulerDiscreteScheduler.from_config(self.scheduler_config)

    def table(self, solver: str, steps: int, strength: float, width: int, height: int) -> SolverTable:
        """The coefficients of one job; see `solvers.tabulate`."""
        if self.flow is not None:
            return flow_schedule.tabulate(flow_schedule.levels(self.flow, steps), solver, strength)
        return solvers.tabulate(self.schedule, solver, steps, strength=strength)

    def places(self, height: int, width: int) -> float:
        """How often a weight is used in an evaluation, about, at that latent size: in every place of its level, and a level
        has half of the places of the one before, each way."""
        return height * width / 16

    def embed_prompts(
        self, prompts: Sequence[str], adapters: Sequence[ScaledAdapters] = (), learned: Sequence[LearnedWord] = ()
    ) -> list[Conditioning]:
        """A condition a prompt, all of one kind; an empty prompt is the model's null condition.

        Args:
            adapters: of each prompt, where any has some: the text encoder's part of its LoRA files.
            learned: words with vectors of their own.

        Raises BadRequest for marks in a prompt that cannot be read, TooLong for too many tokens.
        """
        return self.text.embed(prompts, learned, partial(self._adapted, adapters))

    def learned_word(self, path: Path) -> LearnedWord:
        """Of a textual inversion's file; BadWeights for one that is not of this model."""
        return textual_inversion.read(path, self.text.widths(), self.name)

    @torch.inference_mode()
    def predict(
        self,
        x: Tensor,
        timesteps: Tensor,
        conditions: Sequence[Conditioning],
        guidance: Tensor | None = None,
        adapters: Sequence[ScaledAdapters] = (),
        controls: Sequence[Sequence[RowControl]] = (),
        references: Sequence[Tensor] = (),
    ) -> Tensor:
        """One evaluation of the network.

        Args:
            x: (B, C, h, w), fp32.
            timesteps: (B,), each row's own.
            conditions: B of them.
            guidance: (B,) scales, read by models with `guidance_embedded` only.
            adapters: B rows of LoRA files with their scales, where any has some.
            controls: B rows of what controls them, likewise.
            references: of B rows what `reference` made of their images, where the UNet is told some.

        Returns:
            (B, C, h, w) fp32, what the model's own prediction type says: noise, velocity or image.
        """
        rows = x.to(self.device, self.dtype, memory_format=torch.channels_last if self.channels_last else torch.preserve_format)
        more: dict[str, Any] = {}
        if self.conditional:
            conditioning = stack(conditions)
            more = self._extras(x, conditioning, guidance) | {
                "encoder_hidden_states": self._cast(conditioning.tokens),
                "encoder_attention_mask": None if conditioning.mask is None else conditioning.mask.to(self.device),
            }
        if controls:

            def told(numbers: Sequence[int], condition: Conditioning) -> dict[str, Any]:
                return self._extras(x[list(numbers)], condition, None)

            more |= unet_arguments(rows, timesteps.to(self.device), conditions, controls, told)
        prompts = image_prompts(controls)
        with self._adapted(adapters, "unet", range(len(x))), self.image_prompts.use(prompts) if prompts else nullcontext():
            if references:
                rows = torch.cat([rows, torch.stack(list(references)).to(rows)], dim=1)
            out = self.unet(rows, timesteps.to(self.device), return_dict=False, **more)
        return out[0].float()  # type: ignore[no-any-return]

    def reference(self, pixels: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the UNet is told of an image beside the latents, in every step.

        Args:
            pixels: (3, H, W) in [-1, 1].
            mask: (1, H, W) in [0, 1], of an inpainting model: what is at least one half is drawn anew.

        Returns:
            (E, h, w): latents, without the scale in which they are drawn (Brooks et al. 2023, InstructPix2Pix) but for CosXL
            edit; or the mask, and the latents of the image with mid-grey behind it (Rombach et al. 2022).
        """
        if self.told == "edit":
            assert isinstance(self.images, LatentAutoencoder)
            latents = self.encode(pixels[None])
            return (latents if self.scaled_reference else self.images.unscaled(latents))[0]
        assert mask is not None
        hole = (mask >= 0.5).float()
        latents = self.encode((pixels * (1 - hole))[None])[0]
        places = torch.nn.functional.interpolate(hole[None], latents.shape[-2:])[0]
        return torch.cat([places.to(latents), latents])

    def _extras(self, x: Tensor, conditioning: Conditioning, guidance: Tensor | None) -> dict[str, Any]:
        """What only some models are told: the pooled prompt, the image's size, the guidance scale."""
        extras: dict[str, Any] = {}
        config = self.unet.config
        if config.class_embed_type is not None:
            extras["class_labels"] = self._cast(conditioning.pooled)
        if (
            config.addition_embed_type == "text_time"
        ):  # Podell et al. 2023 (SDXL), section 2.2: original size, crop, target size
            height, width = (self.factor * length for length in x.shape[-2:])
            sizes = torch.tensor([height, width, 0, 0, height, width], device=self.device, dtype=self.dtype)
            extras["added_cond_kwargs"] = {"text_embeds": self._cast(conditioning.pooled), "time_ids": sizes.expand(len(x), -1)}
        if self.guidance_width is not None:
            scales = torch.ones(len(x)) if guidance is None else guidance
            extras["timestep_cond"] = self._cast(guidance_embedding(scales.float().to(self.device) - 1, self.guidance_width))
        return extras

    def _cast(self, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(self.device, self.dtype)

    def step_bytes(self, height: int, width: int) -> int:
        """About what one row of a forward pass holds at its peak, at that latent size.

        Every level keeps its skip connections until the way up, and the widest place works on some eight tensors at once.
        It does not know attention without a fused kernel, which would hold (h w)^2 scores.
        """
        config = self.unet.config
        layers = config.layers_per_block if isinstance(config.layers_per_block, int) else max(config.layers_per_block)
        planes: list[float] = [channels * height * width / 4**level for level, channels in enumerate(config.block_out_channels)]
        return math.ceil(int(self.dtype.itemsize) * ((layers + 1) * sum(planes) + 8 * max(planes)))


def handles(folder: Path) -> bool:
    """Whether a folder is a model for `DenoiserModel.load`, by the pipeline that it names; False: it runs through diffusers."""
    if folder.is_file():
        return True
    named = _pipeline(folder)
    if named:
        return named in PIPELINES
    return (folder / "unet").is_dir()


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "", vae: Path | None = None) -> DenoiserModel:
    """The registry's loader for models with a UNet."""
    return DenoiserModel.load(folder, device, name, precision, vae)


def guidance_embedding(scales: Tensor, width: int) -> Tensor:
    """Sinusoids of a thousandfold scale, (B,) -> (B, width): networks distilled to hear it; Meng et al. 2023, section 3.1."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=scales.device) * (-math.log(10000.0) / (half - 1)))
    angles = 1000 * scales[:, None] * frequencies
    return torch.nn.functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, width % 2))


def _pipeline(folder: Path) -> str:
    """The pipeline's class that model_index.json names; empty without the file."""
    path = folder / "model_index.json"
    return str(read_json(path).get("_class_name", "")) if path.is_file() else ""


def _network(folder: Path, found: str, device: str, dtype: torch.dtype) -> Any:
    """Of our own models by our own module, which loads without diffusers; of all others by diffusers' class `found`."""
    if found == UNETS[0] and (folder / "mmgen.json").is_file() and (own := own_unet.read(folder / "unet", device, dtype)):
        return own
    import diffusers

    return pretrained.load(getattr(diffusers, found), folder / "unet", device, dtype)


def _whole(
    path: Path, device: str, dtype: torch.dtype, vae: Path | None
) -> tuple[Any, TextConditioner, Autoencoder, dict[str, Any]]:
    from mmgen.models.diffusion.single_file import model as single_file

    with pretrained.quiet():
        return single_file.load(path, device, dtype, vae)


def _own_vae(vae: Path, folder: Path, unet: Any, device: str, dtype: torch.dtype) -> Autoencoder:
    """Latents are scaled as the model's own autoencoder says, which a single file does not."""
    config = folder / "vae" / "config.json"
    if not config.is_file():
        raise BadRequest(f"{folder} works on pixels, without a VAE; leave --vae out")
    from mmgen.models.diffusion.single_file import vae as vae_files

    kept = torch.float32 if dtype == torch.float16 else dtype
    said = read_json(config)
    scales = {name: float(said[name]) for name in ("scaling_factor", "shift_factor") if said.get(name) is not None}
    return vae_files.from_path(vae, scales, device, kept)


def _images(folder: Path, unet: Any, device: str, dtype: torch.dtype) -> Autoencoder:
    if (folder / "vae").is_dir():
        return LatentAutoencoder.load(folder / "vae", device, dtype)
    if (folder / "upscaler").is_dir():
        return HalfSizeAutoencoder(Upscaler.load(folder / "upscaler", device))
    return PixelAutoencoder(int(unet.config.in_channels))


def _enlarger(folder: Path, device: str) -> ImageUpscaler | None:
    """A network of the model's own that makes its images larger."""
    path = folder / weight_files.ENLARGER
    return image_upscaler.load(path, device) if path.is_file() else None


def _text_side(folder: Path, unet: Any, device: str, dtype: torch.dtype) -> TextConditioner:
    if not hasattr(unet.config, "cross_attention_dim"):
        return NoConditioner()
    if (folder / "mmgen.json").is_file():
        return _sentence_prompts(folder / "mmgen.json", device)
    if (folder / "text_encoder").is_dir():
        index = folder / "model_index.json"
        zero_null = index.is_file() and bool(read_json(index).get("force_zeros_for_empty_prompt", False))
        return ClipConditioner.load(folder, device, dtype, zero_null)
    if (folder / "text_encoder_2").is_dir():
        raise BadWeights(f"{folder} is the refiner of Stable Diffusion XL, which does not run here; take the base model alone")
    raise BadWeights(f"{folder} has neither text_encoder/ nor mmgen.json, so prompts cannot reach its UNet")


def _sentence_prompts(path: Path, device: str) -> SentenceConditioner:
    """From mmgen.json: {"text": "embedded:minilm", "tokens": 32, ...}."""
    values = read_json(path)
    try:
        reference, tokens = str(values["text"]), int(values["tokens"])
    except (KeyError, TypeError, ValueError):
        raise BadWeights(f'{path} needs "text", a sentence encoder, and "tokens", how many the UNet reads') from None
    return SentenceConditioner(SentenceEncoder.load(hub.resolve(reference, kind="encoder"), device, reference), tokens)
