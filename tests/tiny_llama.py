"""A tiny random llama in a folder, as transformers saves it, with a tokenizer and a chat template."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

SPECIAL = ["<s>", "</s>", "<pad>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' if m['role'] != 'system' else '' }}{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer() -> Any:
    """Byte-level with a few words, 264 tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), "Ġt", "he", "Ġa"]
    merges = [("Ġ", "t"), ("h", "e"), ("Ġ", "a")]
    fast = Tokenizer(models.BPE({word: n for n, word in enumerate(words)}, merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(SPECIAL)
    return fast


def make_llama(folder: Path, seed: int = 0, layers: int = 2, template: bool = True) -> Path:
    """Its weights are large enough that greedy texts wander for long; it ends a text now and then."""
    import checkpoints

    maker = checkpoints.llama(
        vocab_size=264, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=2, num_hidden_layers=layers
    )
    checkpoints.build(maker, seed).save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    told: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}
    if template:
        told["chat_template"] = TEMPLATE
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("llama") / "tiny")


@pytest.fixture(scope="session")
def tiny_draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller one with the same tokens, and without a chat template."""
    return make_llama(tmp_path_factory.mktemp("llama") / "draft", layers=1, template=False)


@pytest.fixture(scope="session")
def writer(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Runtime]":
    """A runtime whose text model is the tiny llama; for all tests, so that it loads once."""
    from mmgen.config import RuntimeConfig
    from mmgen.runtime import Runtime

    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("writer"), device="cpu", text=str(tiny_llama))) as rt:
        yield rt
