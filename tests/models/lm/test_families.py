"""Every family: the same logits and the same greedy tokens as transformers, and back."""

import json
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
import transformers
from checkpoints import FAMILIES, VARIANTS, VOCABULARY

from mmgen.errors import BadWeights, ConfigError
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.lm import families, language_model
from mmgen.models.lm.architectures import glm, layer_norm_kin, llama_kin, mixtures, olmo, qwen_delta, text_parts
from mmgen.models.lm.language_model import LanguageModel

OTHERS = (glm, layer_norm_kin, llama_kin, mixtures, olmo, qwen_delta, text_parts)
"""Their tests are in architectures/."""
ALL = {**FAMILIES, **VARIANTS}
GENERATED = 64


@pytest.fixture(scope="module", params=list(ALL))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, LanguageModel]:
    """Theirs, and ours from the folder that theirs wrote."""
    folder = tmp_path_factory.mktemp("checkpoint")
    theirs = checkpoints.saved(ALL[request.param], folder)
    return theirs, language_model.load(folder)


def some_ids(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(3, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def both_logits(theirs: Any, ours: LanguageModel) -> tuple[torch.Tensor, torch.Tensor]:
    ids, written = some_ids(2, 40), some_ids(2, 13, seed=2)
    if ours.encoder is not None:
        return theirs(input_ids=ids, decoder_input_ids=written).logits, ours(written, memory=ours.encode(ids))
    return theirs(input_ids=ids).logits, ours(ids)


def assert_equal(theirs: torch.Tensor, ours: torch.Tensor) -> None:
    """As far as fp32 goes: T5 1.1's attention has no scale; on AVX2 ours is 2.6e-4 from float64, transformers' 0.7e-4."""
    assert theirs.std() > 0.05
    assert (ours - theirs).abs().max() / theirs.abs().max() < 5e-4


@torch.inference_mode()
def greedy(model: LanguageModel, ids: torch.Tensor, count: int) -> list[int]:
    """The naive loop: one row, a cache that grows."""
    cache, out = GrowingCache(), []
    memory = None if model.encoder is None else model.encode(ids)
    read = ids if memory is None else torch.full((1, 1), 95 if model.config.positions == "sinusoidal" else 0)
    for _ in range(count):
        hidden = model.hidden(read, cache=cache, memory=memory)
        out.append(int(model.logits(hidden[0, -1]).argmax()))
        read = torch.tensor([out[-1:]])
    return out


def test_logits(pair: tuple[Any, LanguageModel]) -> None:
    assert_equal(*both_logits(*pair))


def test_greedy_tokens(pair: tuple[Any, LanguageModel]) -> None:
    theirs, ours = pair
    if not ours.config.causal:
        pytest.skip("an encoder writes nothing")
    ids = some_ids(1, 9)
    expected = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=GENERATED, do_sample=False)
    assert greedy(ours, ids, GENERATED) == expected[0, -GENERATED:].tolist()


def test_export_loads_in_transformers(pair: tuple[Any, LanguageModel], tmp_path: Path) -> None:
    theirs, ours = pair
    family = theirs.config.model_type
    language_model.save(ours, tmp_path, family)
    back = type(theirs).from_pretrained(tmp_path, attn_implementation=theirs.config._attn_implementation).eval()
    assert_equal(*both_logits(back, ours))
    assert families.shape(tmp_path) == ours.config
    again = back.state_dict()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(tensor, again[name]), name


def test_our_own_format(pair: tuple[Any, LanguageModel], tmp_path: Path) -> None:
    _, ours = pair
    language_model.save(ours, tmp_path)
    again = language_model.load(tmp_path)
    assert again.config == ours.config
    assert all(torch.equal(one, other) for one, other in zip(ours.parameters(), again.parameters(), strict=True))


def test_every_family_is_here() -> None:
    tested = {*FAMILIES, *(name for one in OTHERS for name in one.FAMILIES)}
    assert set(families.FAMILIES) == tested


@torch.inference_mode()
@pytest.mark.parametrize("length", [20, 60])
def test_longrope_before_and_beyond_the_length_of_training(tmp_path: Path, length: int) -> None:
    maker = checkpoints.phi3(**checkpoints.rope(**checkpoints.LONG), original_max_position_embeddings=32)
    theirs = checkpoints.saved(maker, tmp_path)
    ours, ids = language_model.load(tmp_path), some_ids(1, length)
    assert_equal(theirs(input_ids=ids).logits, ours(ids))


def test_older_spelling_of_rope(tmp_path: Path) -> None:
    checkpoints.saved(checkpoints.FAMILIES["llama"], tmp_path)
    expected = families.shape(tmp_path)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    told = values.pop("rope_parameters")
    old = {"rope_theta": told.pop("rope_theta"), "rope_scaling": {"type": told.pop("rope_type"), **told}}
    path.write_text(json.dumps(values | old))
    assert families.shape(tmp_path) == expected and expected.rope_scaling is not None


def test_names_without_the_prefix(tmp_path: Path) -> None:
    """As the first GPT-2 files have them."""
    theirs = checkpoints.build(FAMILIES["gpt2"])
    theirs.transformer.save_pretrained(tmp_path)
    assert_equal(*both_logits(theirs, language_model.load(tmp_path)))


def test_a_head_that_is_not_tied_after_all(tmp_path: Path) -> None:
    theirs = checkpoints.saved(VARIANTS["llama-biased"], tmp_path)
    from safetensors.torch import load_file, save_file

    tensors = load_file(tmp_path / "model.safetensors")
    words = tensors["model.embed_tokens.weight"]
    save_file(tensors | {"lm_head.weight": words.clone()}, tmp_path / "model.safetensors")
    assert language_model.load(tmp_path).config.tied
    save_file(tensors | {"lm_head.weight": words + 1}, tmp_path / "model.safetensors")
    ours = language_model.load(tmp_path)
    assert torch.equal(ours.head.weight, words + 1) and not ours.config.tied
    assert theirs.config.tie_word_embeddings


def test_shards(tmp_path: Path) -> None:
    theirs = checkpoints.saved(FAMILIES["llama"], tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert_equal(*both_logits(theirs, language_model.load(tmp_path)))
    next(iter(sorted(tmp_path.glob("*.safetensors")))).unlink()
    with pytest.raises(BadWeights, match=r"has no model-00001-of-.*safetensors"):
        language_model.load(tmp_path)


def test_damaged_index(tmp_path: Path) -> None:
    checkpoints.saved(FAMILIES["llama"], tmp_path, max_shard_size="60KB")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(BadWeights, match=r"index\.json is damaged"):
        language_model.load(tmp_path)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    checkpoints.saved(FAMILIES["gpt2"], tmp_path)
    return tmp_path


def retell(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_tensors_that_do_not_fit_are_named(broken: Path) -> None:
    retell(broken, n_layer=3)
    with pytest.raises(BadWeights, match=r"lacks transformer\.h\.2\.attn\.c_attn\.bias, .* and 8 more; it is not"):
        language_model.load(broken)
    retell(broken, n_layer=1)
    with pytest.raises(BadWeights, match=r"holds transformer\.h\.1\.attn\.c_attn\.bias, .* and 8 more, which this"):
        language_model.load(broken)
    retell(broken, n_layer=2, n_inner=100)
    with pytest.raises(BadWeights, match=r"transformer\.h\.0\.mlp\.c_fc\.weight \(64, 256\) instead of \(64, 100\)"):
        language_model.load(broken)


def test_an_architecture_that_we_do_not_have(broken: Path) -> None:
    retell(broken, model_type="gpt22")
    with pytest.raises(BadWeights, match=r"is of the architecture gpt22; there are llama, .*did you mean \"gpt2\"\?"):
        language_model.load(broken)


@pytest.mark.parametrize(
    ("family", "values", "message"),
    [
        ("gpt2", {"activation_function": "mish"}, "the activation mish; there are gelu,"),
        ("gpt2", {"n_head": 7}, "7 heads do not divide hidden_size 64"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "layer-scaled"),
        ("gpt2", {"n_layer": None}, "lacks 'n_layer'"),
        ("bloom", {"apply_residual_connection_post_layernorm": True}, "residuals behind the norm"),
        ("bert", {"position_embedding_type": "relative_key"}, "relative positions"),
        ("marian", {"decoder_vocab_size": 4}, "two vocabularies"),
        ("llama", {"rope_parameters": {"rope_type": "fancy"}}, "rope scaling 'fancy'; there are linear"),
        (
            "gemma3_text",
            {"rope_parameters": {"full_attention": {}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}}},
            "rope scaling 'linear' of layers with a window; ours have none",
        ),
    ],
)
def test_what_ours_has_not(tmp_path: Path, family: str, values: dict[str, Any], message: str) -> None:
    FAMILIES[family]().config.save_pretrained(tmp_path)
    retell(tmp_path, **values)
    with pytest.raises((BadWeights, ConfigError), match=message):
        families.shape(tmp_path)


def test_no_safetensors(broken: Path) -> None:
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(BadWeights, match=r"has no model\.safetensors; only safetensors are read"):
        language_model.load(broken)


def test_our_own_configuration_damaged(tmp_path: Path) -> None:
    model = LanguageModel(families.FAMILIES["gpt2"].shape(transformers.GPT2Config(n_layer=1, vocab_size=9).to_dict()))
    language_model.save(model, tmp_path)
    retell(tmp_path, transformer={"hidden_size": 3})
    with pytest.raises(BadWeights, match=r"no configuration of a language model .*vocab_size"):
        language_model.load(tmp_path)
