"""Z-Image as its own repository names its tensors."""

from __future__ import annotations

from typing import Any

from mmgen.models.diffusion.single_file.transformers.renamed import RenamedTensors, Rows

PARTS = {
    "all_final_layer.2-1.": "final_layer.",
    "all_x_embedder.2-1.": "x_embedder.",
    ".attention.to_out.0.": ".attention.out.",
    ".attention.norm_q.": ".attention.q_norm.",
    ".attention.norm_k.": ".attention.k_norm.",
}


def rows(name: str) -> Rows:
    for ours, theirs in PARTS.items():
        name = name.replace(ours, theirs)
    for number, part in enumerate(("to_q", "to_k", "to_v")):
        if f".attention.{part}." in name:
            return Rows(name.replace(part, "qkv"), ((number, number + 1),), 3)
    return Rows(name)


def config(tensors: RenamedTensors) -> dict[str, Any]:
    """Of diffusers' ZImageTransformer2DModel."""
    width, values = tensors.shape("all_x_embedder.2-1.weight")
    (head,) = tensors.shape("layers.0.attention.norm_q.weight")
    return {
        "in_channels": values // 4,
        "dim": width,
        "n_layers": tensors.levels("layers.{}.attention.norm_q.weight"),
        "n_refiner_layers": tensors.levels("noise_refiner.{}.attention.norm_q.weight"),
        "n_heads": width // head,
        "n_kv_heads": width // head,
        "cap_feat_dim": tensors.shape("cap_embedder.0.weight")[0],
        "axes_dims": [head // 4, head * 3 // 8, head * 3 // 8],
    }


def scheduler(found: dict[str, Any]) -> dict[str, Any]:
    return {"shift": 3.0}
