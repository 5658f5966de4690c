"""IP-Adapter (Ye et al. 2023): what an image looks like, told to a UNet beside the prompt. Plain, plus and full ones.

The image is seen by a CLIP image encoder, which lies beside the file; a projection makes tokens of what it says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmgen.errors import BadWeights
from mmgen.image_params import ControlInput
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu.batch_invariant_layers import hold
from mmgen.models.cpu.linear import Linear
from mmgen.models.diffusion.adapters.adapter import WIDTHS
from mmgen.models.diffusion.control.image_prompts import layer_paths
from mmgen.models.diffusion.control.row_control import PreparedControl
from mmgen.models.diffusion.single_file.tensors import SingleFile
from mmgen.models.vision.preprocess import CLIP_MEAN, CLIP_STD, ImagePreprocess

PROJECTION, LAYERS, ENCODER = "image_proj.", "ip_adapter.", "image_encoder"
"""How names of tensors begin, and the encoder's folder."""
READS = {
    "image_proj.proj.weight": "projection_dim",
    "image_proj.proj.0.weight": "hidden_size",
    "image_proj.proj_in.weight": "hidden_size",
}
"""What a plain, a full and a plus one is told of the image: a tensor, and which width of the encoder its inputs are."""


class IPAdapter:
    """Its tokens are of the image alone, so they are computed before the first step."""

    kind, spatial = "IP-Adapter", False

    def __init__(self, encoder: Any, projection: nn.Module, layers: nn.ModuleList) -> None:
        self.encoder, self.projection, self.layers = encoder, projection, layers
        self.pooled = type(projection).__name__ == "ImageProjection"  # plain: it reads the image's vector, others all states
        side = int(encoder.config.image_size)
        self.preprocess = ImagePreprocess(side, (side, side), mean=CLIP_MEAN, std=CLIP_STD)
        self.device, self.dtype = encoder.device, encoder.dtype

    @torch.inference_mode()
    def prepare(self, given: ControlInput) -> PreparedControl:
        """Tokens of the image (T, D), and for unconditional rows those of no image."""
        pixels = self.preprocess(given.image)[None].to(self.device, self.dtype)
        seen, unseen = self._seen(pixels), self._unseen(pixels)
        return PreparedControl([self.projection(seen)[0]], [self.projection(unseen)[0]])

    def _seen(self, pixels: Tensor) -> Tensor:
        if self.pooled:
            return self.encoder(pixels).image_embeds  # type: ignore[no-any-return]
        return self.encoder(pixels, output_hidden_states=True).hidden_states[-2]  # type: ignore[no-any-return]

    def _unseen(self, pixels: Tensor) -> Tensor:
        return torch.zeros_like(self._seen(pixels)) if self.pooled else self._seen(torch.zeros_like(pixels))

    def modules(self) -> list[nn.Module]:
        return [self.encoder, self.projection, self.layers]


def load(path: Path, base: Any, device: str, name: str) -> IPAdapter:
    """From a safetensors file, or the folder of one, with `image_encoder/` beside it or where the authors' repository has it.

    Raises BadWeights for one of another UNet, and where there is no image encoder that it can read.
    """
    file, unet = SingleFile(path), base.unet
    told = next((one for one in READS if one in file.shapes), "")
    if not told or (told.endswith("proj.0.weight") and "image_proj.proj.3.weight" not in file.shapes):
        raise BadWeights(f"{name} is an IP-Adapter of faces (FaceID), whose InsightFace is not here; take a plain or plus one")
    context, paths = unet.config.cross_attention_dim, layer_paths(unet)
    found = file.shapes.get(f"{LAYERS}1.to_k_ip.weight", (0, 0))[1]
    if found != context:
        family = f" ({WIDTHS[found]})" if found in WIDTHS else ""
        raise BadWeights(f"{name} makes tokens of {found} numbers{family}, {base.name} reads {context}; take one made for it")
    layers = nn.ModuleList(_layer(file, number, unet.get_submodule(one), base) for number, one in enumerate(paths))
    file.check_all_read(LAYERS, base.name)
    names = [one for one in file.shapes if one.startswith(PROJECTION)]
    projection: nn.Module = unet._convert_ip_adapter_image_proj_to_diffusers(
        {one.removeprefix(PROJECTION): file.get(one) for one in names}, low_cpu_mem_usage=False
    )
    for part in (projection, layers):
        hold(part.requires_grad_(False).eval().to(device, base.dtype))
    return IPAdapter(encoder_for(path, READS[told], file.shapes[told][1], device, base.dtype), projection, layers)


def file_in(path: Path) -> Path | None:
    """The IP-Adapter's file, of a path that is one or the folder of one."""
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) if not (path / "config.json").is_file() else []
    return next((one for one in files if (file := SingleFile(one)).has(PROJECTION) and file.has(LAYERS)), None)


def _layer(file: SingleFile, number: int, attention: Any, base: Any) -> nn.ModuleList:
    made = nn.ModuleList()
    for word in ("k", "v"):
        weight = file.get(f"{LAYERS}{2 * number + 1}.to_{word}_ip.weight")
        wanted = tuple(getattr(attention, f"to_{word}").weight.shape)
        if tuple(weight.shape) != wanted:
            theirs, ours = (" x ".join(map(str, one)) for one in (weight.shape, wanted))
            raise BadWeights(
                f"{file.path} is of another UNet than {base.name}'s: its layer {number} is {theirs} and not {ours}"
            )
        linear = Linear(weight.shape[1], weight.shape[0], bias=False)
        linear.weight.data.copy_(weight)
        made.append(linear)
    return made


def encoder_for(path: Path, key: str, width: int, device: str, dtype: torch.dtype) -> Any:
    """The CLIP image encoder whose configuration has that width under `key`."""
    import transformers

    above = path.parent.parent
    places = [path.parent, *(above / name for name in ("models", "sdxl_models", "")), path.parent / path.stem]
    folders = [place / ENCODER for place in places if (place / ENCODER / "config.json").is_file()]
    for folder in folders:
        if int(read_json(folder / "config.json").get(key, 0)) == width:
            return hold(pretrained.load(transformers.CLIPVisionModelWithProjection, folder, device, dtype))
    if not folders:
        raise BadWeights(f"{path} has no {ENCODER}/ beside it; copy the CLIP image encoder that it was made with there")
    raise BadWeights(
        f"{path} reads {width} numbers of an image encoder ({key}), which {folders[0]} does not give; copy its own"
    )
