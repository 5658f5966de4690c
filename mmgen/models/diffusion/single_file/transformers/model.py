"""A diffusion transformer's file to a pipeline of diffusers: the network, its text encoders, its autoencoder, its schedule."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mmgen import gguf_files
from mmgen.errors import BadWeights
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.diffusion.single_file import kinds, vae
from mmgen.models.diffusion.single_file.gguf import GGUFSingleFile, Packing
from mmgen.models.diffusion.single_file.tensors import SingleFile, first
from mmgen.models.diffusion.single_file.transformers import families, text_encoders
from mmgen.models.diffusion.single_file.transformers.families import TransformerFamily

log = logging.getLogger(__name__)
VAES = (kinds.VAE, "vae.")
"""Where whole models have their autoencoder."""


def handles(path: Path) -> bool:
    """Whether a file is a diffusion transformer's, as all GGUF files are taken to be. Raises BadWeights for a damaged one."""
    return path.suffix == gguf_files.SUFFIX or families.find(opened(path)) is not None


def opened(path: Path) -> SingleFile:
    """Raises BadWeights for a damaged file, and a pickle."""
    return GGUFSingleFile(path) if path.suffix == gguf_files.SUFFIX else SingleFile(path)


def load(path: Path, device: str, dtype: torch.dtype, own_vae: Path | None = None, encoders: Sequence[Path] = ()) -> Any:
    """A pipeline of diffusers.

    Args:
        own_vae: a file or a folder, instead of the file's own autoencoder.
        encoders: files and folders of text encoders that the file has not; a whole pipeline's folder also has a VAE.

    Raises BadWeights for a file of another kind, with what it looks like, and for one that lacks parts, naming all of them.
    """
    import diffusers

    file = opened(path)
    found = families.find(file)
    if found is None:
        raise kinds.unknown(file)
    family, prefix = found
    place = _vae_place(family, file, own_vae, encoders)
    with pretrained.quiet():
        texts, missing = text_encoders.parts(family, file, encoders, device, dtype)
        if place is None:
            missing.append("a VAE")
        if missing:
            raise BadWeights(
                f"{path} is {family.name}'s transformer without {', '.join(missing)}; give --text-encoder FILE or FOLDER for "
                "each and --vae FILE, or --text-encoder FOLDER of a whole model in diffusers' format"
            )
        tensors = family.opened(file, prefix)
        config = family.config(tensors)
        with without_init(dtype):
            network: Any = getattr(diffusers, family.network)(**config)
        with torch.no_grad():
            tensors.fill(network, _packing(file, device))
        images = _vae(family, place, device, dtype)
        schedule = diffusers.FlowMatchEulerDiscreteScheduler(**family.scheduler(config))
        network = network.requires_grad_(False).eval().to(device, dtype)
        options = family.options(path)
        return getattr(diffusers, family.pipeline_of(path))(
            transformer=network, scheduler=schedule, vae=images, **texts, **options
        )


def _packing(file: SingleFile, device: str) -> Packing | None:
    """Of a GGUF file on a CPU; elsewhere its tensors are dequantized."""
    if not isinstance(file, GGUFSingleFile):
        return None
    if device != "cpu":
        log.warning("%s is dequantized: there are kernels for its blocks on a CPU only", file.path)
        return None
    return Packing(file)


def _vae_place(
    family: TransformerFamily, file: SingleFile, own: Path | None, encoders: Sequence[Path]
) -> Path | tuple[SingleFile, str] | None:
    """A file or folder, or the file itself with what stands before the autoencoder's names."""
    if own is not None:
        return own
    if family.vae is not None and (inside := first(file, [f"{one}decoder." for one in VAES])):
        return file, inside.removesuffix("decoder.")
    return next((one / "vae" for one in encoders if (one / "vae" / "config.json").is_file()), None)


def _vae(family: TransformerFamily, place: Any, device: str, dtype: torch.dtype) -> Any:
    import diffusers

    kept = torch.float32 if dtype == torch.float16 else dtype  # fp16 overflows in these
    if isinstance(place, tuple):
        file, prefix = place
        return vae.load(file, prefix, family.vae or {}, device, kept).vae
    if place.is_dir():
        named = pretrained.class_name(place)
        if not hasattr(diffusers, named):
            raise BadWeights(f"{place} is of class {named}, which diffusers here does not have; give the VAE of {family.name}")
        return pretrained.load(getattr(diffusers, named), place, device, kept)
    if family.vae is None:
        raise BadWeights(f"{place} is a file; the VAE of {family.name} is read from a folder in diffusers' format")
    return vae.from_path(place, family.vae, device, kept).vae
