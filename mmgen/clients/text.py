"""Language models through the engine: requests in, pieces and finished texts out. Part of the wiring.

Knows models, runners and jobs; not tasks or what prompts say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mmgen import hub
from mmgen.clients.host import ModelHost, registered
from mmgen.engine.job import Job, Request
from mmgen.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.models.lm.guided_decoding import GrammarCompiler
    from mmgen.models.lm.language_model import TextModel
    from mmgen.runners.generation import GenerationResult, TextPiece, TextRequest

CONTEXTS = 128
"""Texts of full length whose keys and values are kept at most: those under way, and what is known of earlier ones."""


class TextClient:
    """A language model whose passes are the engine's. Owns the runner `text:KEY`."""

    def __init__(
        self, host: ModelHost, key: str, reference: str, folder: Path, model: TextModel, draft: TextModel | None = None
    ) -> None:
        from mmgen.runners.generation import Vocabulary
        from mmgen.runners.text import TextRunner

        self.host, self.reference, self.folder, self.model = host, reference, folder, model
        self.runner = f"text:{key}"
        self.name, self.max_tokens, self.drafts = model.name, model.max_tokens, draft is not None
        vocabulary = Vocabulary(model.tokenizer.decode, model.eos_ids)
        memory, drafting = memory_for(host, model), None if draft is None else draft.lm
        self.text_runner = TextRunner(model.lm, vocabulary, memory=memory, draft=drafting)
        host.engine.add_runner(self.runner, self.text_runner)

    @cached_property
    def grammars(self) -> GrammarCompiler:
        """Constraints in this model's tokens."""
        from mmgen.models.lm.guided_decoding import GrammarCompiler

        return GrammarCompiler(self.model.tokenizer.fast.to_str(), self.model.lm.config.vocab_size, self.model.eos_ids)

    def adapt(self, adapter: str) -> str:
        """Loads an adapter, a folder as PEFT writes it or a repo id, unless it is loaded; its name in requests. Many are
        served at once.

        Raises NotFound where there is none, BadWeights for one of another model or kind, BadRequest where the model's layers
        are not ours.
        """
        local = Path(adapter).expanduser()
        folder = (local if local.exists() or not hub.REPOSITORY.fullmatch(adapter) else hub.resolve(adapter)).resolve()
        if not (folder / "adapter_config.json").is_file():
            raise NotFound(f"{adapter} is no adapter; give a folder that holds adapter_config.json, or a repo id")
        self.host.engine.call_with(self.runner, self._adapt, str(folder), folder)
        return str(folder)

    def _adapt(self, name: str, folder: Path) -> None:
        from mmgen.models.lm import lora_files
        from mmgen.models.lm.adapters import peft_files
        from mmgen.models.lm.language_model import LanguageModel
        from mmgen.models.lm.lora import Adapters

        if not isinstance(self.model.lm, LanguageModel):
            raise BadRequest(f"{self.name} runs by the layers of transformers and takes no adapters; merge it into the weights")
        if self.text_runner.adapters is None:
            names = lora_files.names_of(self.folder, self.model.lm)
            self.text_runner.adapters = Adapters(self.model.lm, names)
        if name not in self.text_runner.adapters.numbers:
            peft_files.load(self.text_runner.adapters, name, folder)

    def attention(self, ids: list[int], adapter: str | None = None) -> Tensor:
        """Who looked where in a text: (layers, heads, N, N). Raises BadRequest for an encoder-decoder."""
        import torch

        from mmgen.models.lm.attention_maps import attention_maps

        if self.model.lm.encoder is not None:
            raise BadRequest(f"{self.name} reads with an encoder, whose attention is not drawn; take a decoder")

        if self.text_runner.prefix_of(adapter) is not None:
            raise BadRequest(f"the attention of texts behind {adapter} is not drawn; leave the adapter out, or take a LoRA")

        def maps() -> Tensor:
            adapters = self.text_runner.adapters
            with nullcontext() if adapters is None else adapters.use(adapter):
                return attention_maps(self.model.lm, torch.tensor(ids, device=self.model.device)).own

        return self.host.engine.call_with(self.runner, maps)

    def write(self, wanted: TextRequest, request: Request, seed: int) -> Iterator[TextPiece | GenerationResult]:
        """The texts piece by piece, and at last all of them. Leaving the iteration early cancels the request."""
        handle = self.host.engine.submit(Job(self.runner, wanted, request, seed=seed))
        try:
            yield from handle.events()
            yield handle.result()
        finally:
            if not handle.done():
                handle.leave()


def load(host: ModelHost, key: str, reference: str, draft: str | None) -> TextClient:
    """The client of a model. References may end with a precision, as in `FOLDER#bf16`; `key`: both of them."""
    references = [reference] if draft is None else [reference, draft]
    loader = registered(host.registry.text_models, "causal")
    opened = host.open("text", *references, runners=[f"text:{key}"], loader=loader, key=key, prepare=packed)
    model, *drafts = opened.models
    client = TextClient(host, key, reference, opened.folder, model, *drafts)
    opened.keep(client.text_runner.places)
    return client


def packed(model: TextModel) -> TextModel:
    """The model with its weights as the kernels read them."""
    model.pack()
    return model


def memory_for(host: ModelHost, model: TextModel) -> int:
    """Bytes of keys and values: half of the configured limit, or else a quarter of the memory that is free by now."""
    most = CONTEXTS * model.max_tokens * model.lm.kv_bytes_per_token
    if host.config.memory_limit is not None:
        return min(most, int(host.config.memory_limit) // 2)
    if host.device.startswith("cuda"):
        import torch

        return min(most, torch.cuda.mem_get_info(host.device)[0] // 4)
    import psutil

    return min(most, int(psutil.virtual_memory().available) // 4)
