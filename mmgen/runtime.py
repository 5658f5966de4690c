"""Configuration to models, stores and engine. The one place that wires: what the rooms are to each other is decided here."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmgen import hub
from mmgen.config import RuntimeConfig, home, load_runtime
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.ledger import Ledger
from mmgen.errors import BadRequest
from mmgen.library import Library
from mmgen.plugins import load_plugins, registry
from mmgen.registry import one_line

if TYPE_CHECKING:
    import numpy as np

    from mmgen.drawing import DrawingClient
    from mmgen.interfaces import PictureEncoder
    from mmgen.models.confidence import Found
    from mmgen.models.reading import ReaderModel
    from mmgen.registry import Table
    from mmgen.writing import TextClient

Model = TypeVar("Model")


class Runtime:
    """All that a pipeline needs. Models load on first use; every pass over a model is a job of the one engine.

    Use it as a context manager, or call `close()`. `Runtime.shared()` is the process's own, which `mmgen.pipeline` uses.
    """

    _shared: Runtime | None = None
    _guard = threading.Lock()

    def __init__(self, config: RuntimeConfig | None = None) -> None:
        """`config` None: config.yaml in the home directory, where there is one."""
        self.config = config or load_runtime()
        self.registry = registry() if self.config.plugins is None else load_plugins(self.config.plugins)
        self.home: Path = self.config.home or home()
        self.engine = Engine({}, ledger=Ledger(self.config.memory_limit))
        self._models: dict[tuple[str, str], Any] = {}
        self._loading = threading.RLock()

    @classmethod
    def shared(cls) -> Runtime:
        with cls._guard:
            if cls._shared is None:
                cls._shared = cls()
                atexit.register(cls._shared.close, drain=False)
            return cls._shared

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self, drain: bool = True) -> None:
        """Finishes what is queued (or cancels it) and stops the engine. Safe to repeat."""
        with Runtime._guard:
            if Runtime._shared is self:
                Runtime._shared = None
        self.engine.close(drain=drain)

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`, as the configuration says; "auto" takes the best there is."""
        if self.config.device != "auto":
            return self.config.device
        import torch

        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def encoder(self, reference: str | None = None) -> EncoderClient:
        """The encoder of that reference, through the engine."""
        reference = reference or self.config.encoder
        return self._once("encoder", reference, self._load_encoder)

    def reader(self, reference: str | None = None) -> ReaderClient:
        """The reader of that reference, through the engine."""
        reference = reference or self.config.reader
        return self._once("reader", reference, self._load_reader)

    def text(self, reference: str | None = None, draft: str | None = None) -> TextClient:
        """The language model of that reference, with a draft model if one is named, through the engine."""
        from mmgen import writing

        reference = reference or self.config.text
        key = reference if draft is None else f"{reference}+{draft}"
        return self._once("text", key, lambda key: writing.load(self, key, reference, draft))

    def denoiser(self, reference: str | None = None, lora: Sequence[str] = ()) -> DrawingClient:
        """The text-to-image model of that reference with these LoRA files (PATH or PATH@SCALE) in it, through the engine."""
        from mmgen import drawing

        reference, loras = reference or self.config.denoiser, [drawing.Lora.read(text) for text in lora]
        key = "+".join([reference, *map(str, loras)])
        return self._once("denoiser", key, lambda key: drawing.load(self, key, reference, loras))

    def picture_encoder(self, reference: str | None = None) -> PictureEncoder:
        """The picture encoder of that reference; its passes are `engine.call`s. Raises BadRequest if none is configured."""
        reference = reference or self.config.picture_encoder
        if reference is None:
            raise BadRequest("no picture encoder is configured; name one as picture_encoder in config.yaml")
        return self._once("picture encoder", reference, self._load_picture_encoder)

    def library(self, where: str | Path | None = None, *, encoder: str | None = None) -> Library:
        """A store with its encoder; see `store_path` for `where`."""
        return Library(self, self.store_path(where), encoder=encoder)

    def store_path(self, where: str | Path | None = None) -> Path:
        """A bare name stands under the home's stores/, anything with a separator is a path; None: the configured store."""
        chosen = (self.config.store or "default") if where is None else where
        name = str(chosen)
        if name.strip() in {"", ".", ".."} or "\0" in name:
            raise BadRequest(f"store {name!r} is no name; give a name such as notes, or a path such as ./notes")
        separated = isinstance(chosen, Path) or "/" in name or "\\" in name or name.startswith("~")
        return Path(name).expanduser() if separated else self.home / "stores" / name

    def loaders(self) -> dict[str, Callable[[Path, bytes], Any]]:
        """The plugins' loaders by suffix, imported on use; what fails in one is told as the file's fault."""
        from mmgen.ingest.decoding import Unreadable

        def guarded(name: str) -> Callable[[Path, bytes], Any]:
            def read(path: Path, data: bytes) -> Any:
                try:
                    return self.registry.loaders.get(name)(path, data)
                except Unreadable:
                    raise
                except Exception as why:
                    raise Unreadable(f"could not be read by the loader {name!r} ({one_line(why)})") from why

            return read

        return {entry.name: guarded(entry.name) for entry in self.registry.loaders}

    def submit(self, runner: str, payload: Any, request: Request | None = None) -> Any:
        """One job from submission to result; if the caller is interrupted, the job is cancelled."""
        handle = self.engine.submit(Job(runner=runner, payload=payload, request=request or Request.new()))
        try:
            return handle.result()
        except BaseException:
            handle.cancel()
            raise

    def _once(self, kind: str, reference: str, load: Callable[[str], Model]) -> Model:
        with self._loading:
            if (kind, reference) not in self._models:
                self._models[kind, reference] = load(reference)
            model: Model = self._models[kind, reference]
            return model

    def _load_encoder(self, reference: str) -> EncoderClient:
        from mmgen.runners.rows import RowRunner

        self.set_threads()
        name, _, precision = reference.partition("#")
        folder = hub.resolve(name, kind="encoder")
        load = self.registry.encoders.get(self.architecture(folder, self.registry.encoders, "sentence-transformers"))
        model = self.engine.call(load, folder, device=self.device, name=reference, precision=precision)
        runner = f"encode:{reference}"
        budget = 768 if self.device == "cpu" else 16_384  # tokens: activations that stay in a core's cache
        padding = 1.15 if getattr(model, "pads", True) else float("inf")
        rows = RowRunner(model.embed_rows, budget=budget, row_bytes=4 * model.dimension, padding=padding)
        self.engine.add_runner(runner, rows)
        return EncoderClient(self, runner, model)

    def _load_reader(self, reference: str) -> ReaderClient:
        from mmgen.runners.rows import RowRunner
        from mmgen.runners.write import WriteRunner

        self.set_threads()
        folder = hub.resolve(reference, kind="reader")
        load = self.registry.readers.get(self.architecture(folder, self.registry.readers, "reader"))
        model = self.engine.call(load, folder, device=self.device, name=reference)
        runner = f"read:{reference}"
        self.engine.add_runner(runner, RowRunner(model.read, row_bytes=256))
        self.engine.add_runner(f"write:{reference}", WriteRunner(model))
        return ReaderClient(self, reference, model)

    def _load_picture_encoder(self, reference: str) -> PictureEncoder:
        self.set_threads()
        folder = hub.resolve(reference, kind="picture encoder")
        table = self.registry.picture_encoders
        load = table.get(self.architecture(folder, table, "clip"))
        model: PictureEncoder = self.engine.call(load, folder, device=self.device, name=reference)
        return model

    def architecture(self, folder: Path, table: Table, otherwise: str) -> str:
        """The `model_type` that a checkpoint names, where a loader of that name is registered."""
        try:
            named = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
        except (OSError, ValueError, AttributeError):
            return otherwise
        return named if named in table else otherwise

    def set_threads(self) -> None:
        """As many as the configuration says; called before a model is loaded."""
        if self.config.threads:
            import torch

            torch.set_num_threads(self.config.threads)


class EncoderClient:
    """An encoder whose passes are the engine's: mmgen.interfaces.Encoder."""

    def __init__(self, runtime: Runtime, runner: str, model: Any) -> None:
        self.runtime, self.runner, self.model = runtime, runner, model
        self.name, self.dimension, self.max_tokens = model.name, model.dimension, model.max_tokens

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self.model.token_spans(text)
        return spans

    def embed_text(self, texts: Sequence[str], request: Request | None = None) -> np.ndarray:
        """Texts to (B, D) float32 vectors of unit length, in the texts' order."""
        import numpy as np

        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        rows = self.model.tokenize(texts)
        return np.stack(self.runtime.submit(self.runner, rows, request))


class ReaderClient:
    """A reader whose passes are the engine's."""

    def __init__(self, runtime: Runtime, reference: str, model: ReaderModel) -> None:
        self.runtime, self.reference, self.model = runtime, reference, model

    def read(self, question: str, passages: Sequence[str], request: Request | None = None) -> list[list[Found]]:
        """The best answer in each passage."""
        if not passages:
            return []
        pairs = self.model.pairs(question, passages)
        found: list[list[Found]] = self.runtime.submit(f"read:{self.reference}", pairs, request)
        return found

    def write(self, question: str, passage: str, request: Request | None = None) -> Iterator[str]:
        """Free text from the language-model head: not bound to the passage's words. Yields all that is written so far."""
        pair = self.model.pairs(question, [passage])[0]
        handle = self.runtime.engine.submit(Job(f"write:{self.reference}", pair, request or Request.new()))
        try:
            yield from handle.events()
            yield handle.result()
        finally:
            if not handle.done():  # the reader of this stream left
                handle.cancel()
