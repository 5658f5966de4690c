"""Tiny random models in folders, as a user would give them by reference: real files, quick passes, no quality."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mmgen.models.lm.transformer import TransformerConfig
    from mmgen.runtime import Runtime

WIDTH, LAYERS = 32, 2


def shape(max_tokens: int, types: int) -> "TransformerConfig":
    from mmgen.models.lm.transformer import TransformerConfig

    return TransformerConfig(
        vocab_size=30522,
        hidden_size=WIDTH,
        layers=LAYERS,
        heads=4,
        intermediate_size=64,
        max_tokens=max_tokens,
        token_types=types,
    )


def make_encoder(folder: Path, seed: int = 1) -> Path:
    """A BERT-family folder with MiniLM's tokenizer."""
    import torch
    from safetensors.torch import save_file

    from mmgen import hub
    from mmgen.models.checkpoints.convert import drawn
    from mmgen.models.checkpoints.tensor_names import bert_encoder
    from mmgen.models.lm.transformer import Transformer

    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    config = shape(128, 2)
    transformer = Transformer(config)
    save_file(drawn(transformer, bert_encoder(config, theirs="")), folder / "model.safetensors")
    values = {
        "model_type": "bert", "vocab_size": config.vocab_size, "hidden_size": WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": config.heads, "intermediate_size": config.intermediate_size, "hidden_act": "gelu",
        "max_position_embeddings": config.max_tokens, "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(values))
    steps = [{"idx": n, "path": f"{n}_{name}" if n else "", "type": f"sentence_transformers.models.{name}"}
             for n, name in enumerate(("Transformer", "Pooling"))]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(steps))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}')
    shutil.copy(hub.resolve("embedded:minilm") / "tokenizer.json", folder)
    return folder


def make_reader(folder: Path, encoder: Path, seed: int = 3) -> Path:
    """A reader over that encoder's words. It finds spans somewhere, sure of none."""
    import torch

    from mmgen.models.lm.tokenizer import Tokenizer
    from mmgen.models.reader.model import ReaderModel
    from mmgen.models.reader.network import ReaderNetwork

    torch.manual_seed(seed)
    reader = ReaderNetwork(shape(320, 3))
    for parameter in reader.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    settings = {
        "architecture": "mmgen-reader", "base": str(encoder), "longest_answer": 6,
        "transformer": reader.transformer.config.__dict__, "calibration": {"weights": [0.1, 1.0, 0.1, 0.1]},
    }  # fmt: skip
    ReaderModel(reader, Tokenizer(encoder / "tokenizer.json"), settings).save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_encoder(tmp_path_factory.mktemp("tiny") / "encoder")


@pytest.fixture(scope="session")
def tiny_reader(tiny_encoder: Path) -> Path:
    return make_reader(tiny_encoder.parent / "reader", tiny_encoder)


@pytest.fixture(scope="session")
def tiny_runtime(tiny_encoder: Path, tiny_reader: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Runtime]":
    """One for all tests: its models load once."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    place = tmp_path_factory.mktemp("tiny-home")
    with Runtime(RuntimeConfig(home=place, device="cpu", encoder=str(tiny_encoder), reader=str(tiny_reader))) as rt:
        yield rt


@pytest.fixture
def tiny_home(home: Path, tiny_encoder: Path, tiny_reader: Path) -> Path:
    """MMGEN_HOME with a configuration that names the tiny models."""
    home.mkdir(parents=True)
    (home / "config.yaml").write_text(f"encoder: {tiny_encoder}\nreader: {tiny_reader}\ndevice: cpu\n")
    return home
