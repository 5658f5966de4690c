"""Tensor names of image encoders: mmgen's, and those of each checkpoint format."""

from __future__ import annotations

from mmgen.models.checkpoints.convert import Names, TensorName
from mmgen.models.checkpoints.tensor_names import Entries, spread
from mmgen.models.transformer_config import TransformerConfig
from mmgen.models.vision.clip import ClipConfig
from mmgen.models.vision.vit import VisionConfig

Single = dict[str, str | TensorName]
"""mmgen's name -> the checkpoint's."""


def single(entries: Single, ours: str = "") -> dict[str, TensorName]:
    return {f"{ours}{name}": one if isinstance(one, TensorName) else TensorName((one,)) for name, one in entries.items()}


def clip(config: ClipConfig) -> Names:
    """transformers' CLIPModel."""
    assert config.text is not None
    vision = {**_vision_model("pre_layrnorm"), **_layers("vision_model.")}
    names: Single = {
        "vision.patches.weight": "vision_model.embeddings.patch_embedding.weight",
        "vision.class_token": "vision_model.embeddings.class_embedding",
        "vision.positions": "vision_model.embeddings.position_embedding.weight",
        "image_projection.weight": "visual_projection.weight",
        "text_projection.weight": "text_projection.weight",
        "logit_scale": "logit_scale",
    }
    return spread(config.vision.blocks, vision, "vision.") | _text(config.text) | single(names)


def siglip(config: ClipConfig) -> Names:
    """transformers' SiglipModel."""
    assert config.text is not None
    head, width = "vision_model.head.", config.vision.hidden_size
    pool: Entries = {
        "pool.attention.out": f"{head}attention.out_proj",
        "pool.norm": f"{head}layernorm",
        "pool.up": f"{head}mlp.fc1",
        "pool.down": f"{head}mlp.fc2",
    }
    names: Single = {
        "vision.patches.weight": "vision_model.embeddings.patch_embedding.weight",
        "vision.patches.bias": "vision_model.embeddings.patch_embedding.bias",
        "vision.positions": "vision_model.embeddings.position_embedding.weight",
        "vision.pool.query": TensorName((f"{head}probe",), ones=2),
        "text_projection.weight": "text_model.head.weight",
        "text_projection.bias": "text_model.head.bias",
        "logit_scale": TensorName(("logit_scale",), ones=1),
        "logit_bias": TensorName(("logit_bias",), ones=1),
    }
    for kind in ("weight", "bias"):  # queries, keys and values are one tensor
        whole = (f"{head}attention.in_proj_{kind}",)
        names[f"vision.pool.attention.q.{kind}"] = TensorName(whole, rows=(0, width, 3 * width))
        names[f"vision.pool.attention.kv.{kind}"] = TensorName(whole, rows=(width, 3 * width, 3 * width))
    vision = {**_vision_model(), **_layers("vision_model."), **pool}
    return spread(config.vision.blocks, vision, "vision.") | _text(config.text) | single(names)


def open_clip(config: ClipConfig) -> Names:
    """open_clip's CLIP with a vision transformer of its own."""
    assert config.text is not None
    names: Single = {
        "vision.patches.weight": "visual.conv1.weight",
        "vision.class_token": "visual.class_embedding",
        "vision.positions": "visual.positional_embedding",
        "text.embed.words.weight": "token_embedding.weight",
        "text.embed.positions.weight": "positional_embedding",
        "image_projection.weight": TensorName(("visual.proj",), transposed=True),
        "text_projection.weight": TensorName(("text_projection",), transposed=True),
        "logit_scale": "logit_scale",
    }
    halves = {"vision.": (config.vision.blocks, "visual."), "text.": (config.text, "")}
    out = single(names)
    for ours, (shape, theirs) in halves.items():
        layer = f"{theirs}transformer.resblocks.{{}}."
        table: Entries = {
            "blocks.{}.attention_norm": f"{layer}ln_1",
            "blocks.{}.attention.out": f"{layer}attn.out_proj",
            "blocks.{}.norm": f"{layer}ln_2",
            "blocks.{}.up": f"{layer}mlp.c_fc",
            "blocks.{}.down": f"{layer}mlp.c_proj",
        }
        out |= spread(shape, table, ours)
        for n in range(shape.layers):
            qkv = {kind: layer.format(n) + f"attn.in_proj_{kind}" for kind in ("weight", "bias")}
            out |= single({f"blocks.{n}.attention.qkv.{kind}": name for kind, name in qkv.items()}, ours)
    norms: Entries = {"embedding_norm": "visual.ln_pre", "norm": "visual.ln_post"}
    return out | spread(config.vision.blocks, norms, "vision.") | spread(config.text, {"norm": "ln_final"}, "text.")


def vit(config: VisionConfig) -> Names:
    """transformers' ViTForImageClassification without its head."""
    layer = "vit.encoder.layer.{}."
    table: Entries = {
        "norm": "vit.layernorm",
        **_self_attention(layer),
        "blocks.{}.attention_norm": f"{layer}layernorm_before",
        "blocks.{}.attention.out": f"{layer}attention.output.dense",
        "blocks.{}.norm": f"{layer}layernorm_after",
        "blocks.{}.up": f"{layer}intermediate.dense",
        "blocks.{}.down": f"{layer}output.dense",
    }
    return spread(config.blocks, table, "vision.") | _embeddings("vit.embeddings.")


def dinov2(config: VisionConfig) -> Names:
    """transformers' Dinov2 without a head. Its LayerScale factors are multiplied into the layers before them."""
    layer = "dinov2.encoder.layer.{}."
    wide, back = ("mlp.weights_in", "mlp.weights_out") if config.gated else ("mlp.fc1", "mlp.fc2")
    table: Entries = {
        "norm": "dinov2.layernorm",
        **_self_attention(layer),
        "blocks.{}.attention_norm": f"{layer}norm1",
        "blocks.{}.attention.out": TensorName((f"{layer}attention.output.dense",), scale=f"{layer}layer_scale1.lambda1"),
        "blocks.{}.norm": f"{layer}norm2",
        "blocks.{}.up": f"{layer}{wide}",
        "blocks.{}.down": TensorName((f"{layer}{back}",), scale=f"{layer}layer_scale2.lambda1"),
    }
    return spread(config.blocks, table, "vision.") | _embeddings("dinov2.embeddings.")


def _vision_model(before: str = "") -> Entries:
    """The norms around the blocks of CLIP's and SigLIP's vision tower."""
    norms: Entries = {"norm": "vision_model.post_layernorm"}
    return {**norms, "embedding_norm": f"vision_model.{before}"} if before else norms


def _text(config: TransformerConfig) -> dict[str, TensorName]:
    table: Entries = {
        "embed.words": "text_model.embeddings.token_embedding",
        "embed.positions": "text_model.embeddings.position_embedding",
        "norm": "text_model.final_layer_norm",
        **_layers("text_model."),
    }
    return spread(config, table, "text.")


def _layers(tower: str) -> Entries:
    layer = f"{tower}encoder.layers.{{}}."
    return {
        "blocks.{}.attention_norm": f"{layer}layer_norm1",
        "blocks.{}.attention.qkv": tuple(f"{layer}self_attn.{one}_proj" for one in "qkv"),
        "blocks.{}.attention.out": f"{layer}self_attn.out_proj",
        "blocks.{}.norm": f"{layer}layer_norm2",
        "blocks.{}.up": f"{layer}mlp.fc1",
        "blocks.{}.down": f"{layer}mlp.fc2",
    }


def _self_attention(layer: str) -> Entries:
    parts = ("query", "key", "value")
    return {"blocks.{}.attention.qkv": tuple(f"{layer}attention.attention.{one}" for one in parts)}


def _embeddings(theirs: str) -> dict[str, TensorName]:
    """ViT's and DINOv2's."""
    return single(
        {
            "patches.weight": f"{theirs}patch_embeddings.projection.weight",
            "patches.bias": f"{theirs}patch_embeddings.projection.bias",
            "class_token": TensorName((f"{theirs}cls_token",), ones=2),
            "positions": TensorName((f"{theirs}position_embeddings",), ones=1),
        },
        "vision.",
    )
