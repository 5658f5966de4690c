"""A single file to a denoiser: its family, its parts and its schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmgen.errors import BadWeights
from mmgen.models.diffusion.autoencoder import LatentAutoencoder
from mmgen.models.diffusion.conditioning import ClipConditioner
from mmgen.models.diffusion.single_file import kinds, text, unet, vae
from mmgen.models.diffusion.single_file.tensors import SingleFile

SCHEDULE: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "timestep_spacing": "leading",
}
"""Of every Stable Diffusion: Rombach et al. 2022, appendix D."""

PLAYGROUND = {
    "_class_name": "EDMDPMSolverMultistepScheduler", "sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5,
    "prediction_type": "epsilon", "sigma_schedule": "karras",
}  # fmt: skip
COSXL = {
    "_class_name": "EDMEulerScheduler", "sigma_data": 1.0, "prediction_type": "v_prediction", "sigma_schedule": "exponential",
}  # fmt: skip


def load(
    path: Path, device: str, dtype: torch.dtype, own_vae: Path | None = None
) -> tuple[Any, ClipConditioner, LatentAutoencoder, dict[str, Any]]:
    """The UNet, the text side, the autoencoder and the schedule's configuration.

    own_vae: instead of the file's; one without needs it.
    Raises BadWeights for a file of another kind, with what it looks like, for one that is not whole, and for a pickle.
    """
    file = SingleFile(path)
    family = kinds.family(file)
    if own_vae is None and not file.has(f"{kinds.VAE}decoder."):
        raise BadWeights(f"{path} has no VAE; give one with --vae FILE, such as the one of {family}")
    side = text.load(file, family, device, dtype)
    pooled = int(side.encoders[-1].config.projection_dim) if len(side.encoders) > 1 else 0
    network = unet.load(file, family, pooled, device, dtype)
    edm = edm_schedule_of(file)
    scales = vae.SCALES[family] | (edm or {}).pop("vae", {})
    kept = torch.float32 if dtype == torch.float16 else dtype  # fp16 overflows in these
    if own_vae is None:
        images = vae.load(file, kinds.VAE, scales, device, kept)
    else:
        images = vae.from_path(own_vae, scales, device, kept)
    if edm is not None:
        return network, side, images, edm
    predicts = prediction(file, network, family)
    if family == "Stable Diffusion 2.x" and predicts == "epsilon":
        network.register_to_config(sample_size=64)
    schedule = SCHEDULE | {"prediction_type": predicts}
    if "ztsnr" in file.shapes:
        schedule |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return network, side, images, schedule


def edm_schedule_of(file: SingleFile) -> dict[str, Any] | None:
    """The schedule of a model trained with EDM's noise levels, and its autoencoder's scales as `vae`; None of another model."""
    if "edm_mean" in file.shapes and "edm_std" in file.shapes:  # Playground 2.5
        mean, std = (file.get(name).flatten().tolist() for name in ("edm_mean", "edm_std"))
        scales = {"scaling_factor": 0.5, "latents_mean": mean, "latents_std": std}
        return {**PLAYGROUND, "vae": scales}
    names = ("edm_vpred.sigma_min", "edm_vpred.sigma_max")
    if all(name in file.shapes for name in names):  # CosXL
        lowest, highest = (float(file.get(name)) for name in names)
        return {**COSXL, "sigma_min": lowest, "sigma_max": highest}
    if found := sorted(name for name in file.shapes if name.startswith("edm_")):
        raise BadWeights(f"{file.path} was trained with EDM's noise levels of an unknown kind ({found[0]}); take another model")
    return None


@torch.inference_mode()
def prediction(file: SingleFile, network: Any, family: str) -> str:
    """What the UNet's output means: the header says so, or a tensor `v_pred`; of version 2 the output itself.

    At the noisiest step a network that predicts noise gives back about what it is given; one that predicts velocity gives the
    negative of an image. A1111 tells them apart likewise.
    """
    said = file.metadata.get("modelspec.prediction_type") or file.metadata.get("modelspec.predict_key") or ""
    if said:
        return "v_prediction" if said.lower().startswith("v") else "epsilon"
    if "v_pred" in file.shapes:
        return "v_prediction"
    if family != "Stable Diffusion 2.x":
        return "epsilon"
    config, like = network.config, {"device": network.device, "dtype": network.dtype}
    x = torch.full((1, config.in_channels, 8, 8), 0.5, **like)
    context = torch.zeros(1, 2, config.cross_attention_dim, **like)
    out = network(x, torch.tensor([999], device=network.device), encoder_hidden_states=context, return_dict=False)[0]
    return "v_prediction" if float((out.float() - x[:, : out.shape[1]].float()).mean()) < -1 else "epsilon"
