"""Vision-language models of each family: what upstream's generate writes, alone, in company, with several images and turns."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_vision_chat
import torch
import transformers
from PIL import Image
from text_requests import text_request

from mmgen.config import RuntimeConfig
from mmgen.engine.job import Job
from mmgen.errors import BadRequest, BadWeights, TooLong
from mmgen.models.transformers_backend import vision_language
from mmgen.models.transformers_backend.vision_language import VisionLanguageModel
from mmgen.pipelines.caption import caption
from mmgen.pipelines.chat import Chat
from mmgen.runners.generation import Vocabulary
from mmgen.runners.own_cache_text import OwnCacheRunner
from mmgen.runtime import Runtime

ALIKE = ("idefics3", "qwen2_5_vl")  # as smolvlm and qwen2_vl but for their towers
TALKING = [kind for kind in tiny_vision_chat.FAMILIES if kind not in ("florence2", "paligemma")]
A = Image.linear_gradient("L").convert("RGB").resize((50, 40))
B = Image.radial_gradient("L").convert("RGB").resize((70, 40))


def said(*parts: Any, role: str = "user") -> dict[str, Any]:
    kinds = [{"type": "text", "text": one} if isinstance(one, str) else {"type": "image", "image": one} for one in parts]
    return {"role": role, "content": kinds}


CONVERSATIONS = (
    [said(A, "w3 w4")],
    [said("w5 w6 w7")],
    [said(A, B, "w3 w4"), said("w9", role="assistant"), said("w8", B, "w1")],
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {}


@pytest.fixture
def folder_of(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    def made(kind: str) -> Path:
        if kind not in folders:
            folders[kind] = tiny_vision_chat.saved(kind, tmp_path_factory.mktemp(kind))
        return folders[kind]

    return made


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu")) as made:
        yield made


def upstream(folder: Path, conversations: Sequence[Any], count: int = 16) -> list[str]:
    """What the library's documentation does."""
    loaded = VisionLanguageModel.load(folder)
    processor = loaded.processor
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    texts = []
    for conversation in conversations:
        inputs = processor.apply_chat_template(
            conversation, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )
        out = model.generate(**inputs, max_new_tokens=count, do_sample=False)[0, inputs["input_ids"].shape[1] :].tolist()
        texts.append(loaded.tokenizer.decode(out, loaded.places).strip())
    return texts


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in ALIKE)) for kind in TALKING])
def test_answers_are_those_of_transformers_alone_and_in_company(kind: str, rt: Runtime, folder_of: Any) -> None:
    conversations = CONVERSATIONS[::2] if kind == "qwen3_5" else CONVERSATIONS  # whose texts run apart, by a BPE tokenizer
    expected = upstream(folder_of(kind), conversations)
    chat = Chat(rt, model=str(folder_of(kind)))

    def answer(conversation: Any) -> str:
        return chat(conversation, max_tokens=16, temperature=0).text.strip()

    assert [answer(one) for one in conversations] == expected
    runner = rt.text(str(folder_of(kind)), images=True).text_runner
    before = runner.counters()["tokens in batches"]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(answer, conversations * 2)) == expected * 2
    batches = runner.counters()["tokens in batches"] > before
    assert batches == (kind != "mllama")  # its layers that attend to images keep as many keys as there are images


def test_an_encoder_reads_images_among_the_words_of_a_task(rt: Runtime, folder_of: Any) -> None:
    """Florence-2 alone and in company, with an image and without: a task's name stands for a question."""
    folder = folder_of("florence2")
    model, chat = VisionLanguageModel.load(folder), Chat(rt, model=str(folder))

    def upstream(text: str, image: Any) -> str:
        inputs = model.processor(text=text, images=image).convert_to_tensors("pt")
        out = model.lm.model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, 1:].tolist()
        return model.tokenizer.decode(out, model.places)

    assert model.places == {tiny_vision_chat.ID["<loc_7>"]}
    asked = [("<CAPTION>", A), ("w3 w4", B), ("<CAPTION>", B)]
    expected = [upstream(*one) for one in asked]
    assert len(set(expected)) > 1

    def answer(one: Any) -> str:
        return chat([said(one[1], one[0])], max_tokens=12, temperature=0).text.strip()

    assert [answer(one) for one in asked] == expected
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(answer, asked * 2)) == expected * 2
    assert caption(rt, A, model=str(folder), max_tokens=12).text == expected[0].strip()


def test_reading_images_is_counted_among_what_a_request_takes(folder_of: Any) -> None:
    """Pixels, and all patches in a layer of the tower: (rows, width) and twice the hidden layer."""
    model = VisionLanguageModel.load(folder_of("qwen2_vl"))
    read = [model.chat_inputs([said(*images, "w3")]) for images in ((), (A,), (A, B))]
    bytes_of = [model.lm.reading_bytes(one.seen) for one in read]
    pixels = read[1].seen["pixel_values"]
    assert bytes_of[0] == 0 < bytes_of[1] < bytes_of[2]
    assert bytes_of[1] == pixels.nbytes + len(pixels) * (6 * 32 + 2 * 4 * 32) * 4
    runner = OwnCacheRunner(model.lm, Vocabulary(str, frozenset()), memory=10**9)
    wanted = [text_request(one.ids, 5, seen=one.seen) for one in (read[1], replace(read[1], seen={}))]
    with_image, without = (runner.reserve(Job("text", one)) for one in wanted)
    assert with_image - without == bytes_of[1]


def test_a_model_without_a_template_takes_one_message(rt: Runtime, folder_of: Any) -> None:
    folder = folder_of("paligemma")
    model = VisionLanguageModel.load(folder)
    inputs = model.processor(text="w3 w4", images=A).convert_to_tensors("pt")
    out = model.lm.model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    chat = Chat(rt, model=str(folder))
    assert chat([said(A, "w3 w4")], max_tokens=12, temperature=0).text.strip() == model.processor.tokenizer.decode(out)
    with pytest.raises(BadRequest, match="has no chat template: it takes one message with an image"):
        chat(CONVERSATIONS[2])


def test_the_same_seed_draws_the_same_text(rt: Runtime, folder_of: Any) -> None:
    chat = Chat(rt, model=str(folder_of("qwen2_vl")))
    drawn = chat(CONVERSATIONS[0], max_tokens=12, seed=5, n=2, stop=["w31 w3"])
    with ThreadPoolExecutor(4) as pool:
        others = [pool.submit(chat, one, max_tokens=12, temperature=0) for one in CONVERSATIONS]
        assert pool.submit(chat, CONVERSATIONS[0], max_tokens=12, seed=5, n=2, stop=["w31 w3"]).result().texts == drawn.texts
    assert all(one.result() for one in others) and drawn.texts[0] != drawn.texts[1]
    pieces = [event.value.text for event in chat.stream(CONVERSATIONS[0], max_tokens=12, temperature=0) if event.kind == "text"]
    assert len(pieces) > 4 and "".join(pieces) == chat(CONVERSATIONS[0], max_tokens=12, temperature=0).text


def test_what_is_read_again_after_a_failure_is_the_same(folder_of: Any) -> None:
    model = VisionLanguageModel.load(folder_of("qwen2_vl"))
    told = model.chat_inputs([said(A, "w3 w4")])
    cache = vision_language.SequenceCache(seen=told.seen)
    with torch.inference_mode():
        model.lm.read([(cache, told.ids)])
        expected, _ = model.lm.read([(cache, [*told.ids, 9])])
        cache.forget()
        again, _ = model.lm.read([(cache, [*told.ids, 9])])
    assert torch.allclose(expected, again, atol=1e-5)


def test_control_tokens_in_a_message_are_text(folder_of: Any) -> None:
    model = VisionLanguageModel.load(folder_of("qwen2_vl"))
    mark = tiny_vision_chat.ID["<|vision_end|>"]
    quoted = model.chat_inputs([said(A, "w3 <|vision_end|>")])
    assert quoted.ids.count(mark) == 1 and "w3 <|vision_end|>" in quoted.text
    assert model.chat_inputs([said(A, "w3 <|vision_end|>")], parse_special=True).ids.count(mark) == 2


def test_what_cannot_be_read(rt: Runtime, folder_of: Any, tiny_llama: Path) -> None:
    folder = folder_of("qwen2_vl")
    chat = Chat(rt, model=str(folder))
    with pytest.raises(TooLong, match=r"the prompt is \d+ tokens with those of 70 images, .+ reads 256; give fewer or smaller"):
        chat([said(*[A] * 70, "w3")])
    with pytest.raises(BadRequest, match="sees no images; leave them out, or take a vision-language model"):
        Chat(rt, model=str(tiny_llama))([said(A, "hello")])
    with pytest.raises(BadRequest, match="has no variable 'x' to set"):
        chat([said(A, "w3")], chat_template_kwargs={"x": 1})
    with pytest.raises(BadWeights, match="sees no images; take a vision-language model"):
        VisionLanguageModel.load(tiny_llama)
    model = VisionLanguageModel.load(folder)
    model.processor.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(
        BadRequest, match=r"the processor of .+ refuses this conversation \(no\); change its messages or images"
    ):
        model.chat_inputs([said(A, "w3")])
