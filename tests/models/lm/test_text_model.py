"""A checkpoint's folder as it is used: tokenizer, special tokens, chat template, precision."""

import json
from pathlib import Path
from typing import Any

import checkpoints
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.lm.text_model import TextModel, demanded, recommended, unkept
from mmgen.models.quantization.int8 import Int8Linear
from mmgen.plugins import registry

CHAT = """\
{{ bos_token }}{% for message in messages %}
    {%- if message.role not in ('system', 'user', 'assistant') %}{{ raise_exception('no role ' + message.role) }}{% endif %}
    {%- if loop.index > 20 %}{% break %}{% endif -%}
<|{{ message.role }}|>{% generation %}{{ message.content | trim }}{% endgeneration %}{{ eos_token }}
{% endfor %}
{%- if tools %}{{ tools | tojson }}{% endif %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
MESSAGES = [
    {"role": "system", "content": "Be brief. "},
    {"role": "user", "content": " Wie groß ist <b>10 & 3</b>?"},
]


def words() -> PreTrainedTokenizerFast:
    """Byte-level, every text begins with <s>."""
    specials = ["<unk>", "<s>", "</s>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: number for number, piece in enumerate([*specials, *alphabet])}
    fast = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    fast.pre_tokenizer, fast.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast.add_special_tokens(specials)
    fast.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=fast, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chat") / "tiny-chat"
    maker = checkpoints.llama(vocab_size=260, bos_token_id=1, eos_token_id=2)
    model = checkpoints.build(maker)
    model.generation_config.eos_token_id = [2, 3]
    model.save_pretrained(place)
    tokenizer = words()
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(place)
    return place


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def rewrite(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_what_is_in_the_folder(folder: Path) -> None:
    model = registry().text_models.get("causal")(folder)
    assert isinstance(model, TextModel)
    assert (model.name, model.max_tokens, model.bos_id, model.eos_ids) == ("tiny-chat", 128, 1, frozenset({2, 3}))
    assert model.lm.kv_bytes_per_token == 2 * 2 * 2 * 16 * 4
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    text = "Zwölf Boxkämpfer 🙂"
    assert model.encode(text) == theirs(text)["input_ids"] and model.encode(text)[0] == 1
    assert model.tokenizer.decode(model.encode(text)) == text


def test_chat_template_equals_transformers(folder: Path) -> None:
    model, theirs = TextModel.load(folder), PreTrainedTokenizerFast.from_pretrained(folder)
    for prompt in (True, False):
        expected = theirs.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=prompt)
        assert model.render_chat(MESSAGES, prompt) == expected
    assert expected.startswith("<s><|system|>Be brief.</s>")
    ids = theirs.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert model.encode_chat(MESSAGES) == ids and ids.count(1) == 1


def test_chat_template_in_the_tokenizers_settings(own: Path) -> None:
    (own / "chat_template.jinja").unlink()
    with pytest.raises(BadRequest, match="has no chat template; use it for completion"):
        TextModel.load(own).render_chat(MESSAGES)
    rewrite(own / "tokenizer_config.json", chat_template="{{ messages[0].content }}{{ eos_token }}")
    assert TextModel.load(own).render_chat(MESSAGES) == "Be brief. </s>"
    several = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "yes"}]
    rewrite(own / "tokenizer_config.json", chat_template=several, bos_token={"content": "<s>"})
    assert TextModel.load(own).render_chat(MESSAGES) == "yes"


def test_chat_template_that_refuses(own: Path) -> None:
    model = TextModel.load(own)
    with pytest.raises(BadRequest, match=r"refuses this conversation .no role tool"):
        model.render_chat([{"role": "tool", "content": ""}])
    (own / "chat_template.jinja").write_text("{{ ''.__class__.__mro__ }}")
    with pytest.raises(BadRequest, match=r"refuses this conversation .*unsafe"):
        TextModel.load(own).render_chat(MESSAGES)
    (own / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(BadRequest, match="cannot be read"):
        TextModel.load(own).render_chat(MESSAGES)


def test_ends_of_text_of_both_files(own: Path) -> None:
    (own / "generation_config.json").unlink()
    assert TextModel.load(own).eos_ids == {2}
    rewrite(own / "config.json", eos_token_id=None)
    assert TextModel.load(own).eos_ids == set()


@pytest.mark.parametrize(("precision", "dtype"), [("", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_precision(folder: Path, precision: str, dtype: torch.dtype) -> None:
    model = TextModel.load(folder, precision=precision)
    assert {parameter.dtype for parameter in model.lm.parameters()} == {dtype}
    exact = TextModel.load(folder).lm(torch.tensor([[1, 40, 50]]))
    with torch.inference_mode():
        rounded = model.lm(torch.tensor([[1, 40, 50]])).float()
    assert (rounded - exact).norm() / exact.norm() < 0.05


def test_int8(folder: Path) -> None:
    rounded, exact = TextModel.load(folder, precision="int8").lm, TextModel.load(folder).lm
    assert isinstance(rounded.transformer.blocks[0].attention.qkv, Int8Linear)
    with torch.inference_mode():
        one, other = rounded(torch.tensor([[1, 40, 50]])), exact(torch.tensor([[1, 40, 50]]))
    assert 0 < (one - other).norm() / other.norm() < 0.1


def test_unknown_precision(folder: Path) -> None:
    with pytest.raises(BadRequest, match=r"'int3' is unknown; write fp32, bf16, fp16, int8"):
        TextModel.load(folder, precision="int3")


def test_no_tokenizer(own: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (own / name).unlink()
    with pytest.raises(BadWeights, match=r"has no tokenizer\.json, and transformers makes none"):
        TextModel.load(own)
    (own / "tokenizer.json").write_text("{")
    with pytest.raises(BadWeights, match=r"is no tokenizer\.json"):
        TextModel.load(own)


def test_older_tokenizer_files(own: Path) -> None:
    """GPT-2 as it was first published."""
    (own / "tokenizer.json").unlink()
    rewrite(own / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer", bos_token=None, eos_token=None, unk_token=None)
    pieces = ["Ġ", "a", "b", "c", "ab", "Ġc", "<|endoftext|>"]
    (own / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (own / "merges.txt").write_text("#version: 0.2\na b\nĠ c\n")
    assert TextModel.load(own).encode("ab cba") == [4, 5, 2, 1]


def test_how_its_makers_have_texts_written() -> None:
    """Where they sample, what they sample by; where they do not, their beams and penalty, as the library would."""
    drawn = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": None, "num_beams": 4}
    assert recommended(drawn) == {"temperature": 0.6, "top_p": 0.9}
    assert recommended({"temperature": 0.6, "repetition_penalty": 1.2}) == {"repetition_penalty": 1.2}
    beams = {"num_beams": 4, "length_penalty": 2.0, "early_stopping": True}
    searched = {"strategy": "beam", "beams": 4, "length_penalty": 2.0, "early_stopping": True}
    assert recommended({**beams, "repetition_penalty": 1.0}) == searched
    assert recommended({"num_beams": 4, "early_stopping": "never"}) == {"strategy": "beam", "beams": 4, "early_stopping": False}
    assert recommended({"num_beams": 1}) == recommended({}) == {}


def test_what_its_texts_are_kept_to_and_what_not(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    asked = {"num_beam_groups": 3, "diversity_penalty": 0.0, "eta_cutoff": 1e-3, "no_repeat_ngram_size": 0}
    rules = {"forced_bos_token_id": 0, "bad_words_ids": [[3]]}
    assert unkept({**asked, **rules}) == ["num_beam_groups", "eta_cutoff"]
    assert demanded({**asked, **rules, "min_length": None}) == rules
    assert unkept({"num_beams": 2, "do_sample": True}) == ["num_beams with do_sample"]
    assert unkept({"num_beams": 2, "early_stopping": "never"}) == ["early_stopping 'never'"]
    rewrite(own / "config.json", no_repeat_ngram_size=2)  # which the other file takes the place of
    rewrite(own / "generation_config.json", suppress_tokens=[7], penalty_alpha=0.6)
    assert TextModel.load(own).rules == {"suppress_tokens": [7]}
    assert "generation_config.json asks for penalty_alpha, which its texts are not kept to" in caplog.text
    (own / "generation_config.json").unlink()
    assert TextModel.load(own).rules == {"no_repeat_ngram_size": 2}
