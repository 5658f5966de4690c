"""Checkpoints in diffusers' format: the same conditions and predictions, and one clear line for each bad folder."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_images as tiny
import torch
from diffusers import LatentConsistencyModelPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from mmgen import hub
from mmgen.errors import BadRequest, BadWeights, TooLong
from mmgen.models.diffusion.conditioning import SentenceConditioner, null_condition
from mmgen.models.diffusion.denoiser import DenoiserModel, guidance_embedding, handles
from mmgen.models.encoders.sentence_encoder import SentenceEncoder

Folder = Callable[[str], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A tiny checkpoint by the name of its maker, made once."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny, name)(tmp_path_factory.mktemp(name))
        return made[name]

    return make


def test_every_row_has_its_own_timestep_and_prompt(folder: Folder) -> None:
    model = DenoiserModel.load(folder("stable_diffusion"))
    conditions = model.embed_prompts(["a cat", "", "two red dogs"])
    x, timesteps = torch.randn(3, 4, 8, 8), torch.tensor([999.0, 0.0, 500.25])
    together = model.predict(x, timesteps, conditions)
    for n in range(3):
        with torch.inference_mode():
            alone = model.unet(x[n : n + 1], timesteps[n], encoder_hidden_states=conditions[n].tokens[None]).sample
        torch.testing.assert_close(together[n : n + 1], alone, atol=1e-5, rtol=0)


def test_prompts_of_stable_diffusion(folder: Folder) -> None:
    model = DenoiserModel.load(folder("stable_diffusion"))
    theirs = StableDiffusionPipeline.from_pretrained(folder("stable_diffusion"), safety_checker=None)
    yes, no = theirs.encode_prompt("a cat", "cpu", 1, True, "red")
    for condition, expected in zip(model.embed_prompts(["a cat", "red"]), (yes[0], no[0]), strict=True):
        torch.testing.assert_close(condition.tokens, expected, atol=1e-5, rtol=0)


def test_prompts_of_xl(folder: Folder) -> None:
    """Both encoders, the pooled prompt, and zeros for no negative prompt."""
    model = DenoiserModel.load(folder("stable_diffusion_xl"))
    theirs = StableDiffusionXLPipeline.from_pretrained(folder("stable_diffusion_xl"))
    yes, no, pooled, none = theirs.encode_prompt("a cat", do_classifier_free_guidance=True)
    for condition, tokens, vector in zip(model.embed_prompts(["a cat", ""]), (yes, no), (pooled, none), strict=True):
        torch.testing.assert_close(condition.tokens, tokens[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(condition.pooled, vector[0], atol=1e-5, rtol=0)


def theirs_of_xl(folder: Folder) -> StableDiffusionXLPipeline:
    return StableDiffusionXLPipeline.from_pretrained(folder("stable_diffusion_xl"))


def test_prompts_of_any_length(folder: Folder) -> None:
    """Window by window what diffusers makes of its words; a shorter row beside it stays as it was."""
    model, theirs = DenoiserModel.load(folder("stable_diffusion_xl")), theirs_of_xl(folder)
    long = "red cats and two blue dogs"  # 22 letters, 14 fit
    whole, short = model.embed_prompts([long, "a cat"])
    parts = [theirs.encode_prompt(text, do_classifier_free_guidance=False) for text in ("red cats and two", "blue dogs")]
    assert whole.tokens is not None and short.tokens is not None
    torch.testing.assert_close(whole.tokens, torch.cat([tokens[0] for tokens, *_ in parts]), atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.pooled, parts[0][2][0], atol=1e-5, rtol=0)
    (broken,) = model.embed_prompts(["red cats and two BREAK blue dogs"])
    torch.testing.assert_close(broken.tokens, whole.tokens, atol=1e-5, rtol=0)
    x, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([500.0, 500.0])
    together = model.predict(x, timesteps, [whole, short])
    for n, one in enumerate((whole, short)):
        torch.testing.assert_close(together[n : n + 1], model.predict(x[n : n + 1], timesteps[:1], [one]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["stable_diffusion", "stable_diffusion_xl"])
def test_weights_move_a_token_from_an_empty_prompt(folder: Folder, name: str) -> None:
    model = DenoiserModel.load(folder(name))
    model.text.zero_null = False  # type: ignore[attr-defined]
    plain, weighted, empty, one = model.embed_prompts(["a cat", "a (cat:1.5)", "", "a (cat:1)"])
    assert plain.tokens is not None and weighted.tokens is not None and empty.tokens is not None
    expected = plain.tokens.clone()
    expected[2:5] = empty.tokens[2:5] + 1.5 * (plain.tokens[2:5] - empty.tokens[2:5])  # <start> a c a t
    torch.testing.assert_close(weighted.tokens, expected, atol=1e-5, rtol=1e-4)
    assert one.tokens is not None and torch.equal(one.tokens, plain.tokens)


def test_learned_words_equal_diffusers(folder: Folder, tmp_path: Path) -> None:
    vectors = torch.randn(2, 16, generator=torch.Generator().manual_seed(4))
    save_file({"toy": vectors}, tmp_path / "toy.safetensors")
    theirs = StableDiffusionPipeline.from_pretrained(folder("stable_diffusion"), safety_checker=None)
    theirs.load_textual_inversion(str(tmp_path / "toy.safetensors"), token="toy")
    expected, _ = theirs.encode_prompt("a toy on", "cpu", 1, False)
    model = DenoiserModel.load(folder("stable_diffusion"))
    learned = [model.learned_word(tmp_path / "toy.safetensors")]
    found, other = model.embed_prompts(["a toy on", "a toys on"], learned=learned)
    torch.testing.assert_close(found.tokens, expected[0], atol=1e-5, rtol=0)
    assert other.tokens is not None and torch.equal(other.tokens, model.embed_prompts(["a toys on"])[0].tokens)


def test_windows_and_weights_of_an_embedded_model(folder: Folder) -> None:
    encoder = SentenceEncoder.load(hub.resolve("embedded:minilm"))
    text = SentenceConditioner(encoder, 6)  # four words a window
    plain, broken, weighted = text.embed(
        ["a red cat and two blue dogs", "a red cat and BREAK two blue dogs", "a (red:0.5) cat"]
    )
    assert plain.tokens is not None and plain.mask is not None and broken.tokens is not None and weighted.tokens is not None
    parts = text.embed(["a red cat and", "two blue dogs"])
    expected = [one.tokens for one in parts if one.tokens is not None]
    torch.testing.assert_close(plain.tokens, torch.cat(expected), atol=1e-5, rtol=0)
    torch.testing.assert_close(broken.tokens, plain.tokens, atol=1e-5, rtol=0)
    assert plain.mask.tolist() == [True] * 11 + [False]
    (whole,) = text.embed(["a red cat"])
    assert whole.tokens is not None and whole.pooled is not None and weighted.pooled is not None
    torch.testing.assert_close(weighted.tokens[2], 0.5 * whole.tokens[2], atol=1e-6, rtol=0)
    assert torch.equal(weighted.tokens[3], whole.tokens[3]) and not torch.equal(weighted.pooled, whole.pooled)


def test_prompts_of_an_embedded_model(folder: Folder) -> None:
    encoder = SentenceEncoder.load(hub.resolve("embedded:minilm"))
    conditions = SentenceConditioner(encoder, 12).embed(["a smiling cat", " ", "a pizza"])
    (row,) = encoder.tokenize(["a smiling cat"])
    states, _ = encoder.states([row])
    torch.testing.assert_close(conditions[0].tokens[: len(row)], states[0], atol=1e-5, rtol=0)
    assert conditions[0].tokens[len(row) :].abs().max() == 0
    assert conditions[0].mask.tolist() == [n < len(row) for n in range(12)]
    torch.testing.assert_close(conditions[2].pooled, torch.from_numpy(encoder.embed_text(["a pizza"])[0]), atol=1e-5, rtol=0)
    null = null_condition(12, 384)
    assert conditions[1].tokens.abs().max() == conditions[1].pooled.abs().max() == 0
    assert torch.equal(conditions[1].mask, null.mask) and null.mask.tolist() == [True] + [False] * 11


def test_places_behind_the_mask_are_not_seen(folder: Folder) -> None:
    model = DenoiserModel.load(folder("embedded"))
    (condition,) = model.embed_prompts(["a cat"])
    x, timesteps = torch.randn(1, 12, 8, 8), torch.tensor([300.0])
    before = model.predict(x, timesteps, [condition])
    condition.tokens[~condition.mask] = 5.0
    assert torch.equal(model.predict(x, timesteps, [condition]), before)
    condition.tokens[condition.mask] = 5.0
    assert not torch.allclose(model.predict(x, timesteps, [condition]), before, atol=1e-5)


def test_our_folders_open_in_diffusers(folder: Folder) -> None:
    theirs = UNet2DConditionModel.from_pretrained(folder("embedded"), subfolder="unet")
    assert theirs.config.class_embed_type == "simple_projection"


def test_a_model_without_prompt(folder: Folder) -> None:
    model = DenoiserModel.load(folder("unconditional"))
    x = torch.randn(2, 3, 8, 8)
    out = model.predict(x, torch.tensor([5.0, 900.0]), model.embed_prompts(["", "ignored"]))
    with torch.inference_mode():
        torch.testing.assert_close(out, model.unet(x, torch.tensor([5.0, 900.0])).sample, atol=1e-5, rtol=0)


def test_a_plugins_text_reads_prompts_alone(folder: Folder) -> None:
    """As docs/howto/write-a-plugin.md has it: `embed(prompts)` and `modules()`."""
    whole = DenoiserModel.load(folder("embedded"))
    text = SimpleNamespace(embed=lambda prompts: whole.text.embed(prompts), modules=whole.text.modules)
    model = DenoiserModel(whole.unet, text, whole.images, whole.scheduler_config)  # type: ignore[arg-type]
    assert torch.equal(model.embed_prompts(["a cat"])[0].tokens, whole.embed_prompts(["a cat"])[0].tokens)
    assert list(model.networks) == ["unet"]


def test_guidance_embedding_equals_diffusers() -> None:
    scales = torch.tensor([0.0, 3.5, 7.0])
    for width in (8, 256, 9):
        theirs = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, scales, width)  # type: ignore[arg-type]
        torch.testing.assert_close(guidance_embedding(scales, width), theirs)


def test_pixels_are_folded(folder: Folder) -> None:
    model = DenoiserModel.load(folder("embedded"))
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    assert (model.factor, model.size, model.latent_shape(16, 32)) == (2, 16, (12, 16, 8))
    assert model.dtype == torch.float32  # though the file is fp16
    torch.testing.assert_close(model.decode(model.encode(images)), images)


def test_a_model_with_an_upscaler(folder: Folder) -> None:
    model = DenoiserModel.load(folder("upscaled"))
    assert (model.factor, model.size, model.latent_shape(32, 32), model.cheap) == (4, 32, (12, 8, 8), False)
    flat = torch.full((1, 3, 32, 32), 0.5)
    torch.testing.assert_close(model.encode(flat), torch.full((1, 12, 8, 8), 0.5))
    with torch.inference_mode():
        expected = model.images.upscaler(torch.full((1, 3, 16, 16), 0.5)).clamp(-1, 1)
    torch.testing.assert_close(model.decode(model.encode(flat)), expected)


def test_half_precision_stays_close(folder: Folder) -> None:
    whole, half = (DenoiserModel.load(folder("stable_diffusion"), precision=precision) for precision in ("", "bf16"))
    x, timesteps = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    out = half.predict(x, timesteps, half.embed_prompts(["a cat"]))
    assert out.dtype == torch.float32 and half.dtype == torch.bfloat16
    assert (out - whole.predict(x, timesteps, whole.embed_prompts(["a cat"]))).abs().max() < 0.1


def test_sizes_it_cannot_draw(folder: Folder) -> None:
    model = DenoiserModel.load(folder("stable_diffusion"), name="sd")
    assert model.latent_shape(20, 16) == (4, 8, 10)
    with pytest.raises(BadRequest, match="width is 17 pixels; sd needs a multiple of 2, such as 16"):
        model.latent_shape(17, 16)
    for size in (-8, 0, 130, 10**6):
        with pytest.raises(BadRequest, match=f"height is {size} pixels; sd draws 4 to 128, best at 16"):
            model.latent_shape(16, size)
    with pytest.raises(BadRequest, match="needs a multiple of 2, such as 8"):
        DenoiserModel.load(folder("unconditional")).latent_shape(9, 8)


def test_prompts_it_cannot_read(folder: Folder) -> None:
    long = "cat " * 10_000
    with pytest.raises(TooLong, match=r"the prompt is 30000 tokens; 5000 are read at most, shorten it"):
        DenoiserModel.load(folder("stable_diffusion")).embed_prompts([long])
    with pytest.raises(TooLong, match=r"the prompt is 10000 tokens; 5000 are read at most, shorten it"):
        DenoiserModel.load(folder("embedded")).embed_prompts([long])


def test_unknown_precision(folder: Folder) -> None:
    with pytest.raises(BadRequest, match=r"int3.*fp32, bf16, fp16"):
        DenoiserModel.load(folder("stable_diffusion"), precision="int3")


@pytest.fixture
def copy(folder: Folder, tmp_path: Path) -> Path:
    """A Stable Diffusion folder to break."""
    import shutil

    return Path(shutil.copytree(folder("stable_diffusion"), tmp_path / "sd"))


def refused(path: Path) -> str:
    with pytest.raises(BadWeights) as error:
        DenoiserModel.load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_pickle_is_refused_with_the_command(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    pickle = weights.with_suffix(".bin")
    torch.save(load_file(weights), pickle)
    weights.unlink()
    message = refused(copy)
    assert "pickled" in message and "unet/diffusion_pytorch_model.safetensors" in message
    namespace: dict[str, object] = {}
    exec(message.split('python -c "')[1].removesuffix('"'), namespace)  # what the message tells a user to run
    assert DenoiserModel.load(copy).size == 16


def test_weights_that_are_not_whole(copy: Path) -> None:
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    save_file({name: tensor for name, tensor in tensors.items() if name != "conv_in.bias"}, weights, {"format": "pt"})
    assert "unet lacks conv_in.bias" in refused(copy)
    save_file(tensors | {"conv_in.bias": torch.zeros(3)}, weights, {"format": "pt"})
    assert "conv_in.bias" in refused(copy)
    weights.write_bytes(weights.read_bytes()[:5000])
    assert "unet cannot be read as UNet2DConditionModel" in refused(copy)
    weights.unlink()
    assert "unet holds no *.safetensors" in refused(copy)


def test_text_weights_that_are_not_whole(copy: Path) -> None:
    weights = copy / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    gone = next(name for name in tensors if name.endswith("final_layer_norm.bias"))
    save_file({name: tensor for name, tensor in tensors.items() if name != gone}, weights, {"format": "pt"})
    assert "text_encoder lacks" in refused(copy)


def test_only_a_half_precision_variant(copy: Path) -> None:
    for weights in (*copy.glob("*/diffusion_pytorch_model.safetensors"), *copy.glob("*/model.safetensors")):
        weights.rename(weights.with_name(f"{weights.stem}.fp16.safetensors"))
    assert DenoiserModel.load(copy).dtype == torch.float32


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_an_unknown_class_is_named(copy: Path, part: str) -> None:
    config = copy / part / "config.json"
    key = "architectures" if part == "text_encoder" else "_class_name"
    config.write_text(json.dumps(json.loads(config.read_text()) | {key: ["Hexagon"] if part == "text_encoder" else "Hexagon"}))
    assert "is of class Hexagon" in refused(copy)


def test_another_pipeline_is_not_ours(copy: Path, folder: Folder) -> None:
    assert handles(copy) and handles(folder("embedded")) and not handles(folder("pixart"))
    assert "PixArtAlphaPipeline" in refused(folder("pixart"))


def test_parts_that_do_not_fit_each_other(copy: Path) -> None:
    tiny.unet(in_channels=7).save_pretrained(copy / "unet")
    assert "takes 7 channels and gives 4" in refused(copy)


def test_missing_parts(copy: Path, folder: Folder, tmp_path: Path) -> None:
    (copy / "scheduler" / "scheduler_config.json").unlink()
    assert "no scheduler_config.json" in refused(copy)
    bare = tiny.embedded(tmp_path / "bare")
    (bare / "mmgen.json").write_text("{}")
    assert 'needs "text"' in refused(bare)
    (bare / "mmgen.json").unlink()
    assert "neither text_encoder/ nor mmgen.json" in refused(bare)
