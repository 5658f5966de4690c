"""Folders of models with the library's own cache, as people use them: drawn, searched, constrained, translated, refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_own_cache
import torch
from tiny_llama import byte_tokenizer
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing

from mmgen.clients.text import CONTEXTS, TextClient, memory_for
from mmgen.config import RuntimeConfig
from mmgen.errors import BadRequest, BadWeights
from mmgen.models.transformers_backend.loading import load
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.pipelines.chat import Chat
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime

CODES = ("eng_Latn", "deu_Latn", "fra_Latn")
GREEDY = {"strategy": "greedy", "max_tokens": 12}


def saved(folder: Path, model: Any, **rules: Any) -> Path:
    for name, value in rules.items():
        setattr(model.generation_config, name, value)
    model.save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("own") / "hybrid", tiny_own_cache.causal("falcon_h1", vocab_size=264))


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like NLLB: a language before the text, and the other one forced upon the answer."""
    folder = tmp_path_factory.mktemp("own") / "translator"
    saved(folder, tiny_own_cache.seq2seq("m2m_100", vocab_size=270))
    fast = byte_tokenizer()
    fast.add_special_tokens([AddedToken(code) for code in CODES])
    ids = [(code, fast.token_to_id(code)) for code in CODES]
    fast.post_processor = TemplateProcessing(single="eng_Latn $A", special_tokens=ids)
    fast.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory, hybrid: Path) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu", text=str(hybrid))) as made:
        yield made


def theirs(client: TextClient, ids: list[int], count: int = 12, **options: Any) -> str:
    lm: Any = client.model.lm
    out = lm.model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, eos_token_id=2, **options)[0].tolist()
    return client.model.tokenizer.decode(out[-count:] if lm.encoder is None else out[1:])


def test_a_folder_is_run_with_its_own_cache(rt: Runtime) -> None:
    text = TextGeneration(rt)
    client = rt.text()
    lm: Any = client.model.lm
    assert client.own_cache and not client.guesses and client.block_runner is None
    assert text("the way", **GREEDY).text == theirs(client, client.model.encode("the way"))
    assert memory_for(client.host, client.model) == CONTEXTS * lm.context_bytes > 0
    drawn = [text("the way", seed=5, n=2, max_tokens=12).texts for _ in range(2)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 2
    beamed = text("the way", strategy="beam", beams=2, max_tokens=12)
    assert beamed.text == theirs(client, client.model.encode("the way"), num_beams=2)
    assert len(text("the", regex="[a-f]{3,5}", seed=1, max_tokens=12).text) in range(3, 6)
    assert Chat(rt)("hello", max_tokens=4, seed=1).messages[-1]["role"] == "assistant"


def test_its_weights_leave_and_come_back(rt: Runtime, hybrid: Path) -> None:
    text = TextGeneration(rt)
    before = text("the way", **GREEDY).text
    rt.engine.call(rt.engine.models.sleep, f"text {hybrid}", True)
    assert not next(rt.text().model.lm.parameters()).numel()
    assert text("the way", **GREEDY).text == before


def test_it_drafts_for_nobody(rt: Runtime, hybrid: Path, tiny_llama: Path) -> None:
    with pytest.raises(BadRequest, match="hybrid keeps a cache of its own kind, which allows no guesses"):
        rt.text(str(tiny_llama), str(hybrid))


@pytest.mark.parametrize(
    ("options", "more", "message"),
    [
        ({}, {"lookup": True}, "cannot step back behind a wrong guess"),
        ({"draft": True}, {}, "keeps a cache of its own kind, which allows no guesses; leave the draft model out"),
        ({"adapter": True}, {}, "runs by the layers of transformers and takes no adapters"),
        ({}, {"target_lang": "fr"}, "has no token for the language 'fr'"),
    ],
)
def test_what_it_cannot_do_is_refused(
    rt: Runtime, hybrid: Path, tmp_path: Path, options: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    places = {"draft": str(hybrid), "adapter": str(tmp_path)}
    text = TextGeneration(rt, **{name: places[name] for name in options})
    with pytest.raises(BadRequest, match=message):
        text("the way", **more)
    with pytest.raises(BadRequest, match="keeps a cache of its own kind, and its attention is not drawn"):
        rt.text().attention([5, 6])


def test_a_translator_reads_and_writes_languages(rt: Runtime, translator: Path) -> None:
    text, client = TextGeneration(rt, model=str(translator)), rt.text(str(translator))
    english = client.model.encode("the way")
    codes = client.languages.ids
    assert english[0] == codes["eng_Latn"]
    told = text("the way", source_lang="fra", target_lang="deu_Latn", **GREEDY)
    french = [codes["fra_Latn"], *english[1:]]
    assert told.text == theirs(client, french, forced_bos_token_id=codes["deu_Latn"]) != text("the way", **GREEDY).text
    with pytest.raises(BadRequest, match="begin with a token of its own, which a constraint forbids"):
        text("the way", target_lang="deu", regex="[a-z]+")
    with pytest.raises(BadRequest, match="'klingon' is none of this model's 3: there are deu_Latn, eng_Latn, fra_Latn"):
        text("the way", target_lang="klingon")


def test_rules_of_the_checkpoint_are_kept(rt: Runtime, tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny_own_cache.seq2seq("bart", vocab_size=264), no_repeat_ngram_size=2, forced_bos_token_id=70)
    text = TextGeneration(rt, model=str(folder))
    client = rt.text(str(folder))
    assert text("the way", **GREEDY).text == theirs(client, client.model.encode("the way"))
    assert client.forces_first and text("the way", **GREEDY).text.startswith(client.model.tokenizer.decode([70]))


def test_what_a_caller_leaves_open_is_as_its_makers_have_it(
    rt: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They search with beams; tokens are taken one by one where the caller wants what a search does not do."""
    asked = {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True, "diversity_penalty": 0.5}
    folder = saved(tmp_path, tiny_own_cache.seq2seq("bart", vocab_size=264), **asked)
    text = TextGeneration(rt, model=str(folder))
    client = rt.text(str(folder))
    ids = client.model.encode("the way")
    found = text("the way", max_tokens=12)
    assert found.scores is not None and found.text == theirs(client, ids, **{**asked, "diversity_penalty": None})
    assert "asks for diversity_penalty, which its texts are not kept to" in caplog.text
    one_by_one = theirs(client, ids, num_beams=1)
    assert text("the way", max_tokens=12, logprobs=0).text == one_by_one == text("the way", **GREEDY).text
    assert "its makers search with 3 beams, which know no log-probabilities; tokens are taken one by one" in caplog.text
    assert text("the way", max_tokens=12, temperature=0).scores is None


def test_precisions(hybrid: Path, tmp_path: Path) -> None:
    lm: Any = load(hybrid, precision="bf16").lm
    assert isinstance(lm, OwnCacheLM) and lm.model.dtype == torch.bfloat16
    with pytest.raises(BadRequest, match="int8 is not for this model, whose layers fail on it"):
        load(saved(tmp_path, tiny_own_cache.causal("mamba2", vocab_size=264)), precision="int8")
    listens = tmp_path / "listens"
    listens.mkdir()
    (listens / "config.json").write_text('{"model_type": "qwen2_audio"}')
    with pytest.raises(BadWeights, match="of the architecture qwen2_audio, which listens to sound"):
        load(listens)
