"""Vision-language models of transformers: images are read with the prompt, or its encoder; then it is a text like any other."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from mmgen.errors import BadRequest, BadWeights, TooLong
from mmgen.models.checkpoints import pretrained
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.lm.chat_template import ChatTemplate
from mmgen.models.lm.language_model import ROUNDED, LanguageModel, dtype_of
from mmgen.models.lm.text_model import TextModel
from mmgen.models.transformers_backend import processor
from mmgen.models.transformers_backend.own_cache import OwnCacheLM
from mmgen.models.transformers_backend.sequence_cache import EncodedSource, SequenceCache, Text

PLACE = re.compile(r"<(?:loc|seg)_?\d+>")
"""Tokens of Florence-2 and PaliGemma."""
TOKEN_TYPES = ("token_type_ids", "mm_token_type_ids")
"""What processors say of every token: whether it stands for a part of an image."""
NOT_READ = ("input_ids", "attention_mask", "labels")
"""Outputs of processors that are the prompt itself, all of whose tokens are seen."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def sees(folder: Path) -> bool:
    """Whether a folder holds a vision-language model that reads its prompt in one pass. Reads no weights."""
    path = folder / "config.json"
    if not path.is_file() or not any((folder / name).is_file() for name in PROCESSORS):
        return False
    return _architecture(str(read_json(path).get("model_type"))) is not None


def _architecture(model_type: str) -> Any:
    """The library's class, where its tokens follow one another as `generate` has it for all; None: there is none."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, GenerationMixin

    if model_type not in CONFIG_MAPPING:
        return None
    config = CONFIG_MAPPING[model_type]
    found = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING.get(config, None)
    encodes = getattr(config, "is_encoder_decoder", False) and model_type not in ENCODERS
    if found is None or encodes or model_type in APART:
        return None
    usual = issubclass(found, GenerationMixin) and found.generate is GenerationMixin.generate
    return found if usual else None


APART = frozenset({"idefics", "git"})
"""Types whose every token needs more of the images than the cache, or that say nothing without one."""
ENCODERS = frozenset({"florence2"})
"""Types whose encoder reads images among the words of the prompt."""
SEEN_BY = "cross_attention_mask"
"""Which images a token sees, where layers of their own attend to them: told of every token."""


@dataclass(frozen=True, eq=False)
class ChatInputs:
    """A conversation as a vision-language model reads it."""

    text: str
    ids: list[int]  # with one for each part of an image
    seen: Mapping[str, Tensor] = field(
        default_factory=dict
    )  # of the processor: pixels, sizes, token types; none without images


class VisionLanguageLM(OwnCacheLM):
    """A model whose first tokens, or whose source, may come with images: `SequenceCache.seen`."""

    @cached_property
    def stacks(self) -> bool:
        """Layers that attend to images keep keys of these, as many as there are: such texts are read one by one."""
        return SEEN_BY not in inspect.signature(self.model.forward).parameters and super().stacks

    def encode(self, ids: Sequence[int], seen: Mapping[str, Tensor] = {}) -> EncodedSource:
        if not seen:
            return super().encode(ids)
        told = torch.tensor([list(ids)], device=self.device)
        words = self.model.get_input_embeddings()(told)
        pixels = seen["pixel_values"].to(self.device, self.model.dtype)
        images = self.model.get_image_features(pixels, return_dict=True).pooler_output.to(words)
        places = self.model.get_placeholder_mask(told, inputs_embeds=words, image_features=images)
        return EncodedSource(self.encoder(inputs_embeds=words.masked_scatter(places, images), return_dict=True))

    def reading_bytes(self, seen: Mapping[str, Tensor]) -> int:
        """What images take beside caches: pixels, and in their tower, layer by layer, what all of their patches are.

        That is for each patch queries, keys, values, what heads give, states twice, and the feed-forward's hidden layer; behind
        the tower its states, as many for each image as are kept by layers that attend to them.
        """
        eyes = getattr(self.model.config, "vision_config", None)
        pixels = [value for value in seen.values() if value.is_floating_point()]
        if eyes is None or not pixels:
            return 0
        width = _largest(eyes, ("hidden_size", "embed_dim"), 1024)
        hidden = _largest(eyes, ("intermediate_size",), 4 * width)
        patch = _largest(eyes, ("patch_stride", "patch_size"), 14, min)
        patches = sum(_patches(value, patch) for value in pixels)
        return sum(value.nbytes for value in pixels) + patches * (6 * width + 2 * hidden) * int(self.model.dtype.itemsize)

    def _inputs(self, texts: Sequence[Text], state: dict[str, Any], count: int) -> dict[str, Any]:
        if self.encoder is not None:
            return super()._inputs(texts, state, count)
        if not texts[0][0].length:
            return self._first(*texts[0], state)
        if (told := texts[0][0].seen.get(SEEN_BY)) is not None:
            state = {**state, SEEN_BY: _lengthened(told, len(texts[0][1])).to(self.device)}
        inputs = super()._inputs(texts, state, count)
        offsets = [cache.offset for cache, _ in texts]
        if offsets[0] is not None:
            inputs["position_ids"] = inputs["position_ids"] + torch.cat(cast(list[Tensor], offsets), dim=1)
        return inputs

    def _first(self, cache: SequenceCache, ids: Sequence[int], state: dict[str, Any]) -> dict[str, Any]:
        """Arguments of a text's first pass, as `generate` makes them."""
        told = torch.tensor([list(ids)], device=self.device)
        more: dict[str, Any] = {"use_cache": True, **state}
        for name, value in cache.seen.items():
            value = value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            if name == SEEN_BY:
                value = _lengthened(value, len(ids))
            if name in TOKEN_TYPES:  # tokens that were written meanwhile are none of an image
                value = F.pad(value, (0, len(ids) - value.shape[1]))
            more[name] = value
        if self._position_ids:
            more["position_ids"] = places = self.model._prepare_position_ids_for_generation(told, more)
            cache.offset = places[..., -1:] - (len(ids) - 1) if places.dim() == 3 else None
            _forget_offsets(self.model)
        inputs: dict[str, Any] = self.model.prepare_inputs_for_generation(told, is_first_iteration=True, **more)
        return inputs


def _lengthened(told: Tensor, tokens: int) -> Tensor:
    """(1, n, ...) for so many tokens: those that were written see what the last one sees."""
    return torch.cat((told, told[:, -1:].expand(-1, tokens - told.shape[1], *told.shape[2:])), 1)


def _patches(pixels: Tensor, patch: int) -> int:
    """Of images as (..., 3, height, width), or as patches (..., numbers)."""
    if pixels.dim() >= 4:
        return math.prod(pixels.shape[:-3]) * (-(-pixels.shape[-2] // patch)) * (-(-pixels.shape[-1] // patch))
    return math.prod(pixels.shape[:-1])


def _largest(config: Any, names: Sequence[str], usual: int, of: Callable[..., Any] = max) -> int:
    """A number of a tower's configuration; one of several stages, or of both sides, is taken by `of`."""
    told = next((value for name in names if (value := getattr(config, name, None))), usual)
    return int(of(told) if isinstance(told, Sequence) else told)


def _forget_offsets(model: Any) -> None:
    """The library notes a text's rotary offset in the model itself; ours are each text's own."""
    for module in (model, *model.children()):
        if getattr(module, "rope_deltas", None) is not None:
            module.rope_deltas = None


class VisionLanguageModel(TextModel):
    """A folder as it is used: a language model with eyes, its tokenizer and its processor."""

    processor: Any

    @classmethod
    def load(cls, folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> VisionLanguageModel:
        """The loader of models that see; arguments as of `TextModel.load`.

        Raises BadWeights where files are missing or damaged, or where the model has no eyes.
        """
        from transformers import AutoModelForImageTextToText

        if not sees(folder):
            raise BadWeights(f"{folder} sees no images; take a vision-language model, such as Qwen/Qwen2.5-VL-3B-Instruct")
        read = processor.load(folder)
        model = pretrained.load(AutoModelForImageTextToText, folder, device, dtype_of(precision, device) or "auto")
        with pretrained.quiet():  # the library tells of each kernel that it would use on a GPU
            lm = VisionLanguageLM(model)
            if precision in ROUNDED:
                lm.quantize(precision)
        made = cast(VisionLanguageModel, cls.around(cast(LanguageModel, lm), folder, name))
        made.processor = read
        if not made.template and isinstance(read.chat_template, str):
            made.template = ChatTemplate(read.chat_template, read.tokenizer.special_tokens_map)
        return made

    @cached_property
    def places(self) -> frozenset[int]:
        """Control tokens that say where something is in an image: they are part of an answer."""
        return frozenset(number for token, number in self.tokenizer.control.items() if PLACE.fullmatch(token))

    def chat_inputs(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] = {},
        continue_final_message: bool = False,
        parse_special: bool = False,
    ) -> ChatInputs:
        """A conversation up to where the model answers, by the checkpoint's own processor. Runs on the CPU.

        Args:
            messages: role and content each; a content is a text, or parts {"type": "text", "text": ...} and
                {"type": "image", "image": PIL image}. Other arguments as of `TextModel.chat_prompt`.

        Raises BadRequest where the template or the processor refuses them, TooLong for more than the model reads.
        """
        self.template.check(variables)
        said = [{**one, "content": _parts(one["content"])} for one in messages]
        images = [part["image"] for one in said for part in one["content"] if part["type"] == "image"]
        try:
            with pretrained.quiet():
                if not self.template:
                    text, read = self._untold(said, images)
                else:
                    text, read = self._templated(said, tools, variables, continue_final_message, parse_special)
        except BadRequest:
            raise
        except Exception as why:  # whatever templates and processors raise
            raise BadRequest(
                f"the processor of {self.name} refuses this conversation ({pretrained.brief(why)}); change its messages or "
                "images"
            ) from why
        ids = read["input_ids"][0].tolist()
        if images and len(ids) >= self.max_tokens:
            raise TooLong(
                f"the prompt is {len(ids)} tokens with those of {len(images)} image{'s' * (len(images) > 1)}, {self.name} "
                f"reads {self.max_tokens}; give fewer or smaller images"
            )
        seen = {name: value for name, value in read.items() if name not in NOT_READ and isinstance(value, Tensor)}
        return ChatInputs(text, ids, seen if images else {})

    def _templated(
        self,
        messages: list[dict[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        variables: Mapping[str, Any],
        continue_final_message: bool,
        parse_special: bool,
    ) -> tuple[str, Any]:
        quoted = not parse_special and bool(self._quotes([*messages, *(tools or ())]))
        options = {
            "tools": None if tools is None else list(tools), "add_generation_prompt": not continue_final_message,
            "continue_final_message": continue_final_message, **variables,
        }  # fmt: skip
        text = self.processor.apply_chat_template(messages, **options)
        quoting = {"sanitize_control_tokens": True} if quoted else {}
        return text, self.processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="pt", **quoting, **options
        )

    def _untold(self, messages: list[dict[str, Any]], images: list[Any]) -> tuple[str, Any]:
        """Of a model without a chat template, such as PaliGemma: an image, and what to do with it."""
        if len(messages) > 1 or not images:
            raise BadRequest(
                f"{self.name} has no chat template: it takes one message with an image, and {len(messages)} with {len(images)} "
                "images are given; leave out what was said before"
            )
        text = " ".join(part["text"] for part in messages[0]["content"] if part["type"] == "text")
        return text, self.processor(images=images, text=text).convert_to_tensors("pt")


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else [dict(part) for part in content]
