"""Shapes in configs/models: each is the published model, weight for weight, and runs when it is made small."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from mmgen import deprecated
from mmgen.config import configs_dir
from mmgen.errors import BadRequest, BadWeights, ConfigError
from mmgen.models import transformer_config
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.lm import families, language_model
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.transformer_config import RopeScaling, TransformerConfig

WEIGHTS = {
    "transformer-2017": 63_045_632,
    "gpt2": 124_439_808,
    "llama": 8_030_261_248,
    "mistral": 7_241_732_096,
    "qwen2": 494_032_768,
    "qwen3": 596_049_920,
    "gemma": 2_506_172_416,
    "phi3": 3_821_079_552,
    "mixtral": 46_702_792_704,
    "bert": 109_514_298,
    "t5": 60_506_624,
}
FILES = sorted((configs_dir() / "models").glob("*.yaml"))
SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "layers": 2,
    "heads": 4,
    "head_dim": None,
    "intermediate_size": 24,
    "max_tokens": 40,
}


def small(config: TransformerConfig) -> TransformerConfig:
    groups = None if config.num_kv_heads is None else min(config.num_kv_heads, 2)
    encoder = config.encoder and small(config.encoder)
    return replace(config, **SMALL, num_kv_heads=groups, window=config.window and 3, encoder=encoder)


OLD = {"vocabulary": 50, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "hidden": 24, "max_tokens": 40}


def test_keys_of_the_last_release_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deprecated._told.clear()
    config = TransformerConfig(50, 32, 2, 4, 24, 40, num_kv_heads=2)
    path = tmp_path / "shape.yaml"
    path.write_text("".join(f"{key}: {value}\n" for key, value in OLD.items()))
    for _ in range(2):
        assert transformer_config.load(path) == transformer_config.load(OLD) == config
    assert transformer_config.load({**OLD, "encoder": OLD}).encoder == config
    assert transformer_config.load(path, ["width=64"]).hidden_size == 64
    new = {key: value for key, value in asdict(config).items() if value is not None}
    assert transformer_config.load(new, ["hidden=48"]).intermediate_size == 48
    assert sorted(record.message.removeprefix("shape: ").partition(" now")[0] for record in caplog.records) == [
        "hidden is intermediate_size", "kv_heads is num_kv_heads", "vocabulary is vocab_size", "width is hidden_size",
    ]  # fmt: skip


def test_every_shape_is_here() -> None:
    assert {path.stem for path in FILES} == set(WEIGHTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_weights_are_counted_and_a_small_one_runs(path: Path) -> None:
    config = transformer_config.load(path)
    with without_init(), torch.device("meta"):
        whole = LanguageModel(config)
    assert sum(parameter.numel() for parameter in whole.parameters()) == WEIGHTS[path.stem]
    model, ids = LanguageModel(small(config)).eval(), torch.randint(50, (2, 9))
    with torch.inference_mode():
        logits = model(ids, memory=None if model.encoder is None else model.encode(ids))
    assert logits.shape == (2, 9, 50) and logits.isfinite().all() and logits.std() > 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transformers_can_be_told_of_each(path: Path, tmp_path: Path) -> None:
    model = LanguageModel(small(transformer_config.load(path)))
    if path.stem == "transformer-2017":
        with pytest.raises(BadRequest, match="a marian checkpoint cannot say this shape's norm_eps, qkv_bias, out_bias"):
            language_model.save(model, tmp_path, "marian")
        return
    language_model.save(model, tmp_path, path.stem)
    assert model.config.differs(families.shape(tmp_path)) == []


def test_what_differs() -> None:
    config = transformer_config.load(configs_dir() / "models" / "gpt2.yaml")
    assert config.differs(replace(config, head_dim=64, num_kv_heads=12, scale=0.125, dropout=0.0)) == []
    assert config.differs(replace(config, window=5, scale=0.1)) == ["scale", "window", "windowed"]
    with pytest.raises(BadWeights, match="architecture gpt5; there are"):
        language_model.save(LanguageModel(small(config)), Path("nowhere"), "gpt5")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("heads=5", "5 heads do not divide hidden_size 768"),
        ("kv_heads=5", "12 heads cannot share 5 key-value heads"),
        ("layers=0", "layers is 0"),
        ("norm=best", "norm is 'best', expected 'layer' or 'rms'"),
        ("experts=2", None),
        ("experts_per_token=3", None),
        ("rope_scaling.kind=fancy", "rope_scaling.kind is 'fancy'"),
        ("wdith=3", "wdith"),
    ],
)
def test_mistakes(override: str, message: str | None) -> None:
    path = configs_dir() / "models" / "gpt2.yaml"
    if message is None:
        assert transformer_config.load(path, [override])
        return
    with pytest.raises(ConfigError, match=message):
        transformer_config.load(path, [override])


def test_more_experts_a_token_than_there_are() -> None:
    with pytest.raises(ConfigError, match="experts_per_token is 3, of 2 experts"):
        transformer_config.load(configs_dir() / "models" / "gpt2.yaml", ["experts=2", "experts_per_token=3"])


def test_windows_of_layers_repeat() -> None:
    config = TransformerConfig(9, 8, 5, 2, 8, 9, window=4, windowed=(True, True, False))
    assert [config.window_of(layer) for layer in range(5)] == [4, 4, None, 4, 4]


PLAIN = TransformerConfig(50, 32, 2, 4, 48, 128, positions="rotary", causal=True)


def test_layers_in_turn() -> None:
    config = replace(
        PLAIN, layers=5, nope_layers=(False, True), experts=3, dense_layers=(True, False, False), moe_intermediate_size=9
    )
    assert [config.rotates(layer) for layer in range(5)] == [True, False, True, False, True]
    assert [config.mixes(layer) for layer in range(5)] == [False, True, True, False, True]
    assert config.expert_size == 9 and replace(config, moe_intermediate_size=None).expert_size == config.intermediate_size
    assert not config.differs(replace(config, nope_layers=(False, True, False, True, False)))


def test_lengths_that_rotary_positions_are_of() -> None:
    """longrope: the text's own, in two kinds; dynamic: at least the prompt's; all others: none."""
    longrope = replace(PLAIN, max_tokens=64, rope_scaling=RopeScaling("longrope", original=32))
    assert [longrope.rope_length(5, tokens) for tokens in (5, 32, 33, 60)] == [0, 0, 33, 33]
    assert [longrope.rope_room(tokens) for tokens in (5, 32, 33)] == [27, 0, None]
    dynamic = replace(PLAIN, max_tokens=64, rope_scaling=RopeScaling("dynamic", factor=2.0, original=32))
    assert [dynamic.rope_length(prompt, 60) for prompt in (5, 32, 40)] == [0, 0, 40] and dynamic.rope_room(5) is None
    assert PLAIN.rope_length(5, 1000) == 0 and PLAIN.rope_room(5) is None
