"""CLIP, SigLIP and open_clip checkpoints: the same vectors as transformers, alone and together; our own folders; mistakes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision
import torch
from safetensors.torch import load_file, save_file

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.quantization import int8
from mmgen.models.vision import clip_checkpoint, dual_encoder
from mmgen.models.vision.clip import Clip, ClipConfig
from mmgen.models.vision.dual_encoder import DualEncoder
from mmgen.models.vision.image_model import ImageRow
from mmgen.models.vision.preprocess import ImagePreprocess
from mmgen.models.vision.vit import VisionConfig

IMAGES = tiny_vision.images((60, 93), (93, 61), (9, 9), (120, 40), (32, 32))
TEXTS = ["w3 w4 w5", "w7", "", "w9 w9 w11 w12 w13", "w2"]


@pytest.fixture(scope="module", params=["clip", "siglip"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, DualEncoder, Path]:
    """Theirs, ours from the folder that theirs wrote, and the folder."""
    folder = tmp_path_factory.mktemp(request.param)
    theirs = tiny_vision.saved(getattr(tiny_vision, request.param)(), folder)
    return theirs, dual_encoder.load(folder), folder


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def padded(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([row + [tiny_vision.WORDS + 1] * (16 - len(row)) for row in rows])


@torch.inference_mode()
def test_equal_to_transformers(pair: tuple[Any, DualEncoder, Path]) -> None:
    theirs, ours, _ = pair
    processor = tiny_vision.PROCESSORS[theirs.config.model_type]()
    pixels = processor(IMAGES, return_tensors="pt")["pixel_values"]
    ids = padded(ours.tokenize(TEXTS))
    expected = theirs(input_ids=ids, pixel_values=pixels)
    images, texts = ours.embed_images(IMAGES), ours.embed_texts(TEXTS)
    assert images.dtype == texts.dtype == np.float32
    np.testing.assert_allclose(images, expected.image_embeds, atol=1e-5)
    np.testing.assert_allclose(texts, expected.text_embeds, atol=1e-5)
    np.testing.assert_allclose(ours.logits(images, texts), expected.logits_per_image, atol=1e-4)
    assert expected.image_embeds.std(0).mean() > 0.02 and expected.text_embeds.std(0).mean() > 0.02
    assert ours.independent == (theirs.config.model_type == "siglip")


@torch.inference_mode()
def test_larger_and_oblong_images_stretch_the_positions(pair: tuple[Any, DualEncoder, Path]) -> None:
    theirs, ours, _ = pair
    pixels = torch.randn(2, 3, 40, 56, generator=torch.Generator().manual_seed(1))
    expected = unit(theirs.get_image_features(pixels, interpolate_pos_encoding=True).pooler_output)
    np.testing.assert_allclose(ours.embed_image_rows([ImageRow(one, 35) for one in pixels]), expected, atol=1e-4)


def test_alone_together_and_beside_other_sizes(pair: tuple[Any, DualEncoder, Path]) -> None:
    _, ours, _ = pair
    rows = [*ours.rows(IMAGES), ImageRow(torch.randn(3, 40, 56), 35)]
    rows.insert(2, rows.pop())
    together = ours.embed_image_rows(rows)
    assert np.array_equal(together, np.concatenate([ours.embed_image_rows([row]) for row in rows]))
    texts = np.concatenate([ours.embed_texts([text]) for text in TEXTS])
    assert np.array_equal(ours.embed_texts(TEXTS), texts)


def test_a_tensor_is_a_image_too(pair: tuple[Any, DualEncoder, Path]) -> None:
    _, ours, _ = pair
    image = tiny_vision.image(50, 40)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    np.testing.assert_array_equal(ours.embed_images(pixels), ours.embed_images([image]))
    scores = ours.score(pixels.expand(2, -1, -1, -1), TEXTS[:2])
    np.testing.assert_allclose(scores, ours.embed_texts(TEXTS[:2]) @ ours.embed_images([image])[0], atol=1e-6)


def test_nothing_in_nothing_out(pair: tuple[Any, DualEncoder, Path]) -> None:
    _, ours, _ = pair
    assert ours.embed_images([]).shape == ours.embed_texts([]).shape == (0, ours.dimension)


def test_a_long_text_keeps_its_end(pair: tuple[Any, DualEncoder, Path]) -> None:
    _, ours, _ = pair
    (row,) = ours.tokenize([" ".join(f"w{n}" for n in range(40))])
    assert len(row) == 16 and row[-1] == tiny_vision.WORDS + 1 and row[-2] < tiny_vision.WORDS


def test_precisions(pair: tuple[Any, DualEncoder, Path]) -> None:
    _, ours, folder = pair
    for precision in ("bf16", "int8"):
        rounded, least = dual_encoder.load(folder, precision=precision), 0.99 if int8.MOST == 127 else 0.97
        assert (rounded.embed_images(IMAGES) * ours.embed_images(IMAGES)).sum(1).min() > least
        assert (rounded.embed_texts(TEXTS) * ours.embed_texts(TEXTS)).sum(1).min() > least
    with pytest.raises(BadRequest, match=r"^precision 'fp8' is unknown; write fp32, bf16, fp16, int8"):
        dual_encoder.load(folder, precision="fp8")


HALVES = (("vision_model.", "visual."), ("text_model.", ""))
LAYER = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
OUTSIDE = {
    "logit_scale": "logit_scale", "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.final_layer_norm.weight": "ln_final.weight", "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight", "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight", "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}  # fmt: skip


def as_open_clip(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """CLIPModel's tensors under open_clip's names."""
    out = {theirs: tensors[ours] for ours, theirs in OUTSIDE.items()}
    out |= {"visual.proj": tensors["visual_projection.weight"].T, "text_projection": tensors["text_projection.weight"].T}
    for ours, theirs in HALVES:
        for n in range(2):
            old, new = f"{ours}encoder.layers.{n}.", f"{theirs}transformer.resblocks.{n}."
            for kind in ("weight", "bias"):
                out |= {f"{new}{b}.{kind}": tensors[f"{old}{a}.{kind}"] for a, b in LAYER.items()}
                out[f"{new}attn.in_proj_{kind}"] = torch.cat([tensors[f"{old}self_attn.{one}_proj.{kind}"] for one in "qkv"])
    return {name: tensor.contiguous() for name, tensor in out.items()}


OPEN: dict[str, Any] = {
    "embed_dim": 24, "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 8, "mlp_ratio": 2},
    "text_cfg": {"context_length": 16, "vocab_size": 50, "width": 32, "heads": 4, "layers": 2, "mlp_ratio": 2},
}  # fmt: skip


def open_clip(tiny_clip: Path, folder: Path, **more: Any) -> Path:
    save_file(as_open_clip(load_file(tiny_clip / "model.safetensors")), folder / "open_clip_model.safetensors")
    told = {"model_cfg": {**OPEN, **more}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(told))
    shutil.copy(tiny_clip / "tokenizer.json", folder)
    return folder


def test_open_clip(tiny_clip: Path, tmp_path: Path) -> None:
    """The same weights under open_clip's names."""
    ours, same = dual_encoder.load(open_clip(tiny_clip, tmp_path)), dual_encoder.load(tiny_clip)
    np.testing.assert_allclose(ours.embed_texts(TEXTS), same.embed_texts(TEXTS), atol=1e-6)
    np.testing.assert_allclose(ours.embed_images(IMAGES[2:3]), same.embed_images(IMAGES[2:3]), atol=1e-5)


def test_an_open_clip_that_ours_is_not(tiny_clip: Path, tmp_path: Path) -> None:
    folder = open_clip(tiny_clip, tmp_path, vision_cfg={"timm_model_name": "vit_x", "image_size": 32, "layers": 0, "width": 1})
    with pytest.raises(BadWeights, match=r"^open_clip_config.json asks for timm_model_name, which is not supported"):
        dual_encoder.load(folder)


@pytest.fixture
def broken(tiny_clip: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_clip, tmp_path / "broken"))


def test_a_missing_tensor_is_named(broken: Path) -> None:
    tensors = load_file(broken / "model.safetensors")
    del tensors["vision_model.post_layernorm.bias"]
    save_file(tensors, broken / "model.safetensors")
    with pytest.raises(BadWeights, match=r"lacks vision_model\.post_layernorm\.bias; it is not of this architecture"):
        dual_encoder.load(broken)


def test_an_unknown_tensor_is_named(broken: Path) -> None:
    save_file({**load_file(broken / "model.safetensors"), "more": torch.zeros(1)}, broken / "model.safetensors")
    with pytest.raises(BadWeights, match="holds more, which this architecture has not"):
        dual_encoder.load(broken)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "clipp"}, 'has model_type clipp; supported are clip, siglip \\(did you mean "clip"'),
        (
            "config.json",
            {"vision_config": {**tiny_vision.VISION, "patch_size": [8, 4]}},
            "asks for .* only squares are supported",
        ),
        ("config.json", {"vision_config": {**tiny_vision.VISION, "num_channels": 4}}, "images of 4 channels; supported are 3"),
        ("config.json", {"projection_dim": 8}, r"another shape than config.json says: visual_projection.weight \(24, 32\)"),
        (
            "preprocessor_config.json",
            {"image_processor_type": "PoodleImageProcessor"},
            "processor PoodleImageProcessor; supported",
        ),
        ("preprocessor_config.json", {"size": {"longest_edge": 3}}, "has an unsupported size"),
    ],
)
def test_what_ours_has_not(broken: Path, file: str, change: dict[str, Any], message: str) -> None:
    path = next(one for one in (broken / file, broken / "processor_config.json") if one.is_file())
    values = json.loads(path.read_text())
    (broken / file).write_text(json.dumps({**values.get("image_processor", values), **change}))
    with pytest.raises(BadWeights, match=message) as error:
        dual_encoder.load(broken)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there(broken: Path) -> None:
    (broken / "tokenizer.json").unlink()
    with pytest.raises(
        BadWeights, match=r"the tokenizer has \d tokens, the model has embeddings for 50; add the model's own tokenizer\.json"
    ):
        dual_encoder.load(broken)
    shutil.copy(broken / "config.json", broken / "tokenizer.json")
    with pytest.raises(BadWeights, match=r"is no tokenizer\.json"):
        dual_encoder.load(broken)
    (broken / "config.json").write_text("{")
    with pytest.raises(BadWeights, match=r"config.json cannot be read"):
        dual_encoder.load(broken)


def test_a_siglip_without_its_head(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip", "vision_config": {"vision_use_head": False}}))
    with pytest.raises(BadWeights, match="without pooling head"):
        dual_encoder.load(tmp_path)


def test_a_tokenizer_that_ends_no_text(broken: Path) -> None:
    tiny_vision.save_tokenizer(broken, "$A")
    values = json.loads((broken / "tokenizer.json").read_text())
    (broken / "tokenizer.json").write_text(json.dumps({**values, "post_processor": None}))
    with pytest.raises(BadWeights, match="adds no end token"):
        dual_encoder.load(broken)


def own(encoder: str, width: int = 32, **more: Any) -> tuple[Clip, str]:
    torch.manual_seed(3)
    vision = VisionConfig(16, 8, 32, 1, 4, 64, pooling="mean", class_token=False, positions="rotary2d")
    return Clip(ClipConfig(vision, 12, text_width=width, **more)), encoder


@pytest.mark.parametrize("compact", [False, True])
def test_our_own_with_a_frozen_sentence_encoder(tiny_encoder: Path, tmp_path: Path, compact: bool) -> None:
    clip, reference = own(str(tiny_encoder), loss="sigmoid")
    clip_checkpoint.save(clip, tmp_path, ImagePreprocess(size=(16, 16)), reference, compact)
    ours = dual_encoder.load(tmp_path, name="mine")
    assert (ours.name, ours.dimension, ours.independent) == ("mine", 12, True)
    with torch.inference_mode():
        pixels = torch.stack([row.pixels for row in ours.rows(IMAGES)])
        expected = clip.eval().embed_images(pixels).numpy()
    assert (ours.embed_images(IMAGES) * expected).sum(1).min() > (0.999 if compact else 0.999999)
    texts = ours.embed_texts(["a cat", "two dogs"])
    assert texts.shape == (2, 12) and abs((texts**2).sum(1) - 1).max() < 1e-5


def test_our_own_with_another_sentence_encoder(tiny_encoder: Path, tmp_path: Path) -> None:
    clip, reference = own(str(tiny_encoder), width=7)
    clip_checkpoint.save(clip, tmp_path, ImagePreprocess(size=(16, 16)), reference)
    with pytest.raises(BadWeights, match=r"has 32-dimensional vectors, .* was trained on 7"):
        dual_encoder.load(tmp_path)


def test_our_own_damaged(tiny_encoder: Path, tmp_path: Path) -> None:
    clip, reference = own(str(tiny_encoder))
    clip_checkpoint.save(clip, tmp_path, ImagePreprocess(size=(16, 16)), reference)
    values = json.loads((tmp_path / "config.json").read_text())
    values["clip"]["vision"]["pach"] = 4
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(BadWeights, match=r"is no configuration of our CLIP models .*pach"):
        dual_encoder.load(tmp_path)
