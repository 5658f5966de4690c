"""Language models through the engine: requests in, pieces and finished texts out. Part of the wiring.

Knows models, runners and jobs; not tasks or what prompts say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import embedded, hub
from mmgen.clients.host import ModelHost, ModelLoader, registered
from mmgen.engine.job import Handle, Job, Request
from mmgen.errors import BadRequest, NotFound

if TYPE_CHECKING:
    from torch import Tensor

    from mmgen.models.lm.guided_decoding import GrammarCompiler
    from mmgen.models.lm.language_codes import LanguageCodes
    from mmgen.models.lm.text_model import TextModel
    from mmgen.models.transformers_backend.vision_language import VisionLanguageModel
    from mmgen.models.tuning.workload import Workload
    from mmgen.runners.generation import GenerationResult, ScoreRules, TextPiece, TextRequest
    from mmgen.runners.text import TextRunner

CONTEXTS = 128
"""Texts of full length whose keys and values are kept at most: those under way, and what is known of earlier ones."""


class TextClient:
    """A language model whose passes are the engine's. Owns the runner `text:KEY`."""

    def __init__(
        self, host: ModelHost, key: str, reference: str, folder: Path, model: TextModel, draft: TextModel | None = None
    ) -> None:
        from mmgen.models.transformers_backend.own_cache import OwnCacheLM
        from mmgen.runners.generation import Vocabulary
        from mmgen.runners.own_cache_text import OwnCacheRunner
        from mmgen.runners.text import TextRunner

        lm: Any = model.lm
        self.host, self.reference, self.folder, self.model = host, reference, folder, model
        self.runner = f"text:{key}"
        self.name, self.max_tokens, self.drafts = model.name, model.max_tokens, draft is not None
        entry = embedded.EMBEDDED.get(reference.partition("#")[0])
        self.sampling: dict[str, Any] = dict(entry.sampling) if entry is not None else dict(model.sampling)
        vocabulary = Vocabulary(model.tokenizer.decode, model.eos_ids)
        memory, drafting = memory_for(host, model), None if draft is None else draft.lm
        self.own_cache = isinstance(lm, OwnCacheLM)  # made by transformers for each text, instead of blocks of the shared one
        back = not self.own_cache and lm.encoder is None and not lm.config.state_bytes  # what was read can be taken back
        self.guesses = back  # whether texts can be guessed ahead
        self.text_runner: TextRunner | OwnCacheRunner
        if draft is not None and (self.own_cache or isinstance(drafting, OwnCacheLM)):
            one = self.name if self.own_cache else draft.name
            raise BadRequest(f"{one} keeps a cache of its own kind, which allows no guesses; leave the draft model out")
        if self.own_cache:
            self.text_runner = OwnCacheRunner(lm, vocabulary, memory=memory)
        else:
            self.text_runner = TextRunner(lm, vocabulary, memory=memory, draft=drafting)
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

        runner = self.block_runner
        if runner is None or not isinstance(self.model.lm, LanguageModel):
            raise BadRequest(f"{self.name} runs by the layers of transformers and takes no adapters; merge it into the weights")
        if runner.adapters is None:
            names = lora_files.names_of(self.folder, self.model.lm)
            runner.adapters = Adapters(self.model.lm, names)
        if name not in runner.adapters.numbers:
            peft_files.load(runner.adapters, name, folder)

    @property
    def block_runner(self) -> TextRunner | None:
        """Its runner, where its keys and values lie in our blocks."""
        from mmgen.runners.text import TextRunner

        return self.text_runner if isinstance(self.text_runner, TextRunner) else None

    @property
    def eyes(self) -> VisionLanguageModel | None:
        """The model, where it reads images."""
        from mmgen.models.transformers_backend.vision_language import VisionLanguageModel

        return self.model if isinstance(self.model, VisionLanguageModel) else None

    @cached_property
    def languages(self) -> LanguageCodes:
        """Tokens for the languages between which it translates."""
        from mmgen.models.lm.language_codes import LanguageCodes

        return LanguageCodes.of(self.model.tokenizer)

    def rules(self, prompt: int, max_tokens: int, source: Sequence[int] | None, first: int | None = None) -> ScoreRules | None:
        """What generation_config.json demands of a text.

        Args:
            prompt: tokens before the text.
            source: what an encoder reads.
            first: the token that is forced to be the first.
        """
        if not self.model.rules and first is None:
            return None
        from mmgen.models.transformers_backend.generation_rules import rules_of

        return rules_of(self.model.rules, prompt, max_tokens, self.model.eos_ids, source, first, self.model.device)

    @property
    def forces_first(self) -> bool:
        """Whether generation_config.json demands a first token of every text."""
        return "forced_bos_token_id" in self.model.rules

    def attention(self, ids: list[int], adapter: str | None = None) -> Tensor:
        """Who looked where in a text: (layers, heads, N, N). Raises BadRequest for an encoder-decoder."""
        import torch

        from mmgen.models.lm.attention_maps import attention_maps

        if self.model.lm.encoder is not None:
            raise BadRequest(f"{self.name} reads with an encoder, whose attention is not drawn; take a decoder")
        runner = self.block_runner
        if runner is None:
            raise BadRequest(f"{self.name} keeps a cache of its own kind, and its attention is not drawn; take another model")
        if runner.prefix_of(adapter) is not None:
            raise BadRequest(f"the attention of texts behind {adapter} is not drawn; leave the adapter out, or take a LoRA")

        def maps() -> Tensor:
            adapters = runner.adapters
            with nullcontext() if adapters is None else adapters.use(adapter):
                return attention_maps(self.model.lm, torch.tensor(ids, device=self.model.device)).own

        return self.host.engine.call_with(self.runner, maps)

    def submit(self, wanted: TextRequest, request: Request, seed: int) -> Handle:
        """The job's handle: its events are pieces, its result a `GenerationResult`."""
        return self.host.engine.submit(Job(self.runner, wanted, request, seed=seed))

    def write(self, wanted: TextRequest, request: Request, seed: int) -> Iterator[TextPiece | GenerationResult]:
        """The texts piece by piece, and at last all of them. Leaving the iteration early cancels the request."""
        handle = self.submit(wanted, request, seed)
        try:
            yield from handle.events()
            yield handle.result()
        finally:
            if not handle.done():
                handle.leave()


def load(host: ModelHost, key: str, reference: str, draft: str | None, images: bool = False) -> TextClient:
    """The client of a model. References may end with a precision, as in `FOLDER#bf16`; `key`: both of them.

    `images`: of a model that sees, although it is another one's that reads text alone; see `sees_apart`.
    """
    references = [reference] if draft is None else [reference, draft]
    loader, tuned = registered(host.registry.text_models, "causal"), None if images else workload
    if images:
        from mmgen.models.transformers_backend.vision_language import VisionLanguageModel

        loader = _always(VisionLanguageModel.load)
    opened = host.open("text", *references, runners=[f"text:{key}"], loader=loader, key=key, prepare=packed, workload=tuned)
    model, *drafts = opened.models
    client = TextClient(host, key, reference, opened.folder, model, *drafts)
    if client.block_runner is not None:
        opened.keep(client.block_runner.places)
    return client


def workload() -> Workload:
    """How its precision is measured."""
    from mmgen.models.workloads.language_models import TextWorkload

    return TextWorkload()


def sees_apart(reference: str) -> bool:
    """Whether a model that sees is one of those that are run as language models alone where there are no images."""
    from mmgen.models.checkpoints.safetensors_io import read_json
    from mmgen.models.transformers_backend import backend, vision_language

    folder = hub.resolve(reference.partition("#")[0], kind="text")
    path = folder / "config.json"
    return vision_language.sees(folder) and backend.writes_text(read_json(path), path)


def _always(load: ModelLoader) -> Callable[[Path], ModelLoader]:
    return lambda folder: load


def packed(model: TextModel) -> TextModel:
    """The model with its weights as the kernels read them."""
    model.pack()
    return model


def memory_for(host: ModelHost, model: TextModel) -> int:
    """Bytes of keys and values: half of the configured limit, or else a quarter of the memory that is free by now."""
    lm: Any = model.lm
    most: int = CONTEXTS * getattr(lm, "context_bytes", model.max_tokens * lm.kv_bytes_per_token)
    if host.config.memory_limit is not None:
        return min(most, int(host.config.memory_limit) // 2)
    if host.device.startswith("cuda"):
        import torch

        return min(most, torch.cuda.mem_get_info(host.device)[0] // 4)
    import psutil

    return min(most, int(psutil.virtual_memory().available) // 4)
