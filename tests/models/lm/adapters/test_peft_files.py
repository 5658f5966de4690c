"""Every kind of PEFT's adapters: its own logits, alone and in one batch; what does not fit is told in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import peft
import pytest
import torch
from packed_tensors import packed
from safetensors.torch import load_file, save_file
from text_requests import text_request
from torch import Tensor
from transformers import AutoModelForCausalLM

from mmgen.engine.engine import Engine
from mmgen.engine.job import Job
from mmgen.errors import BadWeights, TooLong
from mmgen.models.lm import language_model, lora_files
from mmgen.models.lm.adapters import peft_files
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.lora import Adapters
from mmgen.models.quantization.block_layers import replace
from mmgen.models.quantization.int8 import quantize
from mmgen.runners.generation import Vocabulary
from mmgen.runners.text import TextRunner
from mmgen.text_params import Sampling

pytestmark = pytest.mark.filterwarnings("ignore")  # peft calls what transformers deprecates, and warns of its own defaults
TASK = "CAUSAL_LM"
IDS = torch.arange(3, 23).view(2, 10)
CONFIGS: dict[str, Callable[[], Any]] = {
    "lora": lambda: peft.LoraConfig(task_type=TASK, r=2, target_modules=["q_proj", "v_proj", "up_proj"]),
    "rslora-patterns": lambda: peft.LoraConfig(
        task_type=TASK, r=4, use_rslora=True, target_modules=["q_proj", "k_proj", "gate_proj", "down_proj"],
        rank_pattern={"down_proj": 3, "layers.1.self_attn.k_proj": 1}, alpha_pattern={"layers.0.mlp.gate_proj": 5, "q_proj": 2},
    ),
    "dora": lambda: peft.LoraConfig(task_type=TASK, r=2, use_dora=True, target_modules=["q_proj", "o_proj", "down_proj"]),
    "saved": lambda: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens", "norm"]
    ),
    "saved-linear": lambda: peft.LoraConfig(
        task_type=TASK, r=2, target_modules=["q_proj"], modules_to_save=["v_proj", "up_proj"]
    ),
    "embedding": lambda: peft.LoraConfig(task_type=TASK, r=2, target_modules=["embed_tokens", "lm_head", "v_proj"]),
    "ia3": lambda: peft.IA3Config(
        task_type=TASK, target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "ia3-inputs": lambda: peft.IA3Config(
        task_type=TASK, target_modules=["q_proj", "up_proj", "gate_proj"], feedforward_modules=["up_proj", "gate_proj"]
    ),
    "prompt": lambda: peft.PromptTuningConfig(task_type=TASK, num_virtual_tokens=5),
    "prefix": lambda: peft.PrefixTuningConfig(task_type=TASK, num_virtual_tokens=20),
    "p-tuning": lambda: peft.PromptEncoderConfig(task_type=TASK, num_virtual_tokens=3, encoder_hidden_size=16),
}  # fmt: skip
VIRTUAL = ("prompt", "prefix", "p-tuning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llama")
    checkpoints.saved(checkpoints.llama(attention_bias=True), folder)
    return folder


def shaken(model: Any, config: Any, folder: Path, seed: int = 0) -> Any:
    """A PEFT model whose adapter does something, saved."""
    torch.manual_seed(seed)
    theirs = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if parameter.requires_grad:
                gained = any(kind in name for kind in ("magnitude", "ia3", "norm"))
                parameter.add_(torch.randn_like(parameter) * (0.1 if gained else 0.3))
    theirs.save_pretrained(str(folder))
    return theirs


@pytest.fixture(scope="module")
def saved(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tensor, list[int]]]:
    """Each kind's folder, its logits of IDS, and ten greedy tokens behind the first row."""
    found = {}
    for seed, (name, config) in enumerate(CONFIGS.items()):
        folder = tmp_path_factory.mktemp(name)
        theirs = shaken(AutoModelForCausalLM.from_pretrained(base), config(), folder, seed)
        with torch.inference_mode():
            out = theirs.generate(
                input_ids=IDS[:1], attention_mask=torch.ones_like(IDS[:1]), max_new_tokens=10, do_sample=False, pad_token_id=0
            )
            found[name] = folder, theirs(IDS).logits[:, -IDS.shape[1] :], out[0, -10:].tolist()
    return found


def fresh(base: Path, pack: bool = False) -> tuple[LanguageModel, Adapters]:
    lm = language_model.load(base)
    names = lora_files.names_of(base, lm)
    if pack:
        lm.pack()
    return lm, Adapters(lm, names)


@torch.inference_mode()
def logits(lm: LanguageModel, adapters: Adapters, name: str) -> Tensor:
    with adapters.use(name):
        prefix = adapters.prefixes.get(name)
        return lm(IDS, cache=None if prefix is None else prefix.cache(len(IDS)))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("pack", [False, True], ids=["plain", "packed"])
def test_logits_of_peft(name: str, pack: bool, base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    lm, adapters = fresh(base, pack)
    plain = lm(IDS)
    peft_files.load(adapters, "a", saved[name][0])
    found = logits(lm, adapters, "a")
    torch.testing.assert_close(found, saved[name][1], atol=1e-4, rtol=1e-4)
    assert (found - plain).abs().max() > 0.01
    torch.testing.assert_close(lm(IDS), plain)


def written(runner: TextRunner, *adapters: str | None) -> list[list[int]]:
    with Engine({"text": runner}) as engine:
        requests = [text_request(IDS[0].tolist(), 10, Sampling(temperature=0), adapter=name) for name in adapters]
        handles = [engine.submit(Job("text", request, seed=0)) for request in requests]
        return [list(handle.result(60).texts[0].ids) for handle in handles]


def runner(lm: LanguageModel, adapters: Adapters) -> TextRunner:
    vocabulary = Vocabulary(lambda ids: "?" * len(ids), frozenset())
    one = TextRunner(lm, vocabulary, memory=0)
    return TextRunner(lm, vocabulary, memory=200 * one.places.block_bytes, adapters=adapters, budget=24)


def test_all_kinds_in_one_batch(base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    lm, adapters = fresh(base, pack=True)
    for name, (folder, _, _) in saved.items():
        peft_files.load(adapters, name, folder)
    made = runner(lm, adapters)
    alone = written(made, None)[0]
    names = [*saved, None, *saved]
    found = written(made, *names)
    assert found == [alone if name is None else saved[name][2] for name in names]
    assert made.places.pool.references.sum() == 0
    assert written(made, *saved) == [saved[name][2] for name in saved]  # their beginnings are known by now


@pytest.mark.parametrize("strategy", ["beam", "contrastive"])
def test_searches_behind_a_prefix(strategy: str, base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    """One beam is the likeliest token; contrastive search reads the states of the prompt alone."""
    lm, adapters = fresh(base)
    peft_files.load(adapters, "prefix", saved["prefix"][0])
    made = runner(lm, adapters)
    more = {"strategy": strategy} | ({"beams": 1} if strategy == "beam" else {})
    request = text_request(IDS[0].tolist(), 10, Sampling(temperature=0), adapter="prefix", **more)
    with Engine({"text": made}) as engine:
        found = engine.submit(Job("text", request, seed=0)).result(60).texts[0].ids
    assert len(found) == 10 and (strategy != "beam" or list(found) == saved["prefix"][2])


def test_virtual_tokens_count(base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    lm, adapters = fresh(base)
    peft_files.load(adapters, "prefix", saved["prefix"][0])
    made = runner(lm, adapters)
    with Engine({"text": made}) as engine:
        request = text_request(IDS[0].tolist(), 100, Sampling(temperature=0), adapter="prefix")
        with pytest.raises(TooLong, match=r"10 tokens of prompt and max_tokens 100 are 110, the model holds 108"):
            engine.submit(Job("text", request, seed=0)).result(60)


def test_dora_over_rounded_weights(base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    lm = language_model.load(base)
    adapters = Adapters(quantize(lm), lora_files.names_of(base, lm))
    peft_files.load(adapters, "a", saved["dora"][0])
    assert (logits(lm, adapters, "a") - saved["dora"][1]).abs().max() < 0.2 * saved["dora"][1].abs().max()


def test_words_in_blocks(base: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> None:
    """As GGUF files keep them: the adapter brings its own, or the vectors that its LoRA was trained on."""
    for name, most in (("saved", 1e-4), ("embedding", 1e-4)):
        lm = language_model.load(base)
        names = lora_files.names_of(base, lm)
        replace(lm.transformer.embed, "words", [packed("Q8_0", checkpoints.VOCABULARY, 64)])
        adapters = Adapters(lm, names)
        peft_files.load(adapters, "a", saved[name][0])
        torch.testing.assert_close(logits(lm, adapters, "a"), saved[name][1], atol=most, rtol=most)


OTHERS = {
    "gpt2": (checkpoints.FAMILIES["gpt2"], ["c_attn", "c_proj"]),
    "neox": (checkpoints.FAMILIES["gpt_neox"], ["query_key_value", "dense_h_to_4h"]),
    "falcon": (
        checkpoints.make(
            "FalconForCausalLM", "FalconConfig", {k: v for k, v in checkpoints.PLAIN.items() if k != "intermediate_size"},
            new_decoder_architecture=True, num_kv_heads=2,
        ),
        ["query_key_value"],
    ),
    "tied": (checkpoints.llama(tie_word_embeddings=True), ["embed_tokens", "q_proj"]),
    "gemma": (checkpoints.FAMILIES["gemma"], ["embed_tokens", "q_proj"]),
}  # fmt: skip


@pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])
@pytest.mark.parametrize("name", OTHERS)
def test_other_families(name: str, dora: bool, tmp_path: Path) -> None:
    """Layers whose rows lie in another order, transposed ones, and word vectors that are scaled."""
    maker, targets = OTHERS[name]
    if dora and "embed_tokens" in targets:
        targets = targets[1:]
    checkpoints.saved(maker, tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = shaken(model, peft.LoraConfig(task_type=TASK, r=2, target_modules=targets, use_dora=dora), tmp_path / "a")
    lm, adapters = fresh(tmp_path / "base")
    peft_files.load(adapters, "a", tmp_path / "a")
    with torch.inference_mode():
        expected = theirs(IDS).logits
    torch.testing.assert_close(logits(lm, adapters, "a"), expected, atol=1e-4, rtol=1e-4)
    if not dora and "embed_tokens" not in targets:
        lora_files.save(adapters, "a", tmp_path / "again")
        again, first = (load_file(tmp_path / one / "adapter_model.safetensors") for one in ("again", "a"))
        assert again.keys() == first.keys() and all(torch.equal(one, first[key]) for key, one in again.items())


@pytest.fixture
def broken(tmp_path: Path, saved: dict[str, tuple[Path, Tensor, list[int]]]) -> Callable[..., Path]:
    """A copy of an adapter with another configuration, and with tensors changed, added or, as None, left out."""

    def make(name: str, tensors: dict[str, Tensor | None] | None = None, **values: Any) -> Path:
        told = json.loads((saved[name][0] / "adapter_config.json").read_text())
        (tmp_path / "adapter_config.json").write_text(json.dumps({**told, **values}))
        merged = {**load_file(saved[name][0] / "adapter_model.safetensors"), **(tensors or {})}
        save_file({key: one for key, one in merged.items() if one is not None}, tmp_path / "adapter_model.safetensors")
        return tmp_path

    return make


FIRST = "base_model.model.model.layers.0."


@pytest.mark.parametrize(
    ("name", "tensors", "values", "message"),
    [
        ("lora", {}, {"peft_type": "VERA"}, "of the kind VERA; LORA, IA3, PREFIX_TUNING"),
        ("lora", {}, {"layer_replication": [[0, 1]]}, "uses layer_replication, which our adapters have not; merge it"),
        ("lora", {}, {"bias": "all"}, "uses biases"),
        ("lora", {f"{FIRST}self_attn.q_proj.lora_C": torch.ones(1)}, {}, "q_proj.lora_C, which is of no kind of adapter"),
        ("lora", {f"{FIRST}self_attn.q_proj.lora_B.weight": None}, {}, r"q_proj.lora_B is missing instead of \(64, 2\)"),
        ("lora", {f"{FIRST}x_proj.lora_B.weight": torch.ones(2, 2)}, {}, "0.x_proj, which this model has not"),
        ("dora", {f"{FIRST}self_attn.q_proj.lora_magnitude_vector": torch.ones(3)}, {}, r"magnitude_vector is \(3,\) instead"),
        ("ia3", {f"{FIRST}self_attn.k_proj.ia3_l": torch.ones(3, 1)}, {}, r"ia3_l is \(3, 1\) instead of 32 numbers; take an"),
        ("saved", {"base_model.model.lm_head.weight": torch.ones(99, 64)}, {}, r"lm_head.weight is \(99, 64\) instead of \(96"),
        ("saved", {"base_model.model.model.embed_tokens.weight": torch.ones(99, 64)}, {}, r"embed_tokens.*\(99, 64\) instead"),
        ("prompt", {"prompt_embeddings": torch.ones(5, 32)}, {}, r"is \(5, 32\) instead of \(5, 64\); take a prefix made for"),
        ("prefix", {}, {"num_virtual_tokens": 128}, "puts 128 tokens before a text; a decoder of 128 tokens takes fewer"),
    ],
)  # fmt: skip
def test_what_does_not_fit(
    name: str, tensors: dict[str, Tensor | None], values: dict[str, Any], message: str, base: Path, broken: Callable[..., Path]
) -> None:
    lm, adapters = fresh(base)
    before = lm(IDS)
    with pytest.raises(BadWeights, match=message):
        peft_files.load(adapters, "a", broken(name, tensors, **values))
    assert not adapters.numbers and torch.equal(lm(IDS), before)
    assert not any("parts" in key for key, _ in lm.named_modules())
