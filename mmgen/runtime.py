"""Configuration to models, stores and engine. The one place that wires: what the rooms are to each other is decided here."""

from __future__ import annotations

import atexit
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmgen import hub
from mmgen.config import RuntimeConfig, home
from mmgen.engine.engine import Engine
from mmgen.engine.job import Job, Request
from mmgen.engine.ledger import Ledger
from mmgen.errors import BadRequest
from mmgen.library import Library
from mmgen.plugins import registry

if TYPE_CHECKING:
    import numpy as np

    from mmgen.models.confidence import Found
    from mmgen.models.reading import ReaderModel
    from mmgen.registry import Table

Model = TypeVar("Model")


class Runtime:
    """All that a pipeline needs. Models load on first use; every pass over a model is a job of the one engine.

    Use it as a context manager, or call `close()`. `Runtime.shared()` is the process's own, which `mmgen.pipeline` uses.
    """

    _shared: Runtime | None = None
    _guard = threading.Lock()

    def __init__(self, config: RuntimeConfig | None = None) -> None:
        self.config = config or RuntimeConfig()
        self.registry = registry()
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
        """Finishes what is queued (or cancels it) and stops the engine."""
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

    def library(self, where: str | Path | None = None, *, encoder: str | None = None, index: str = "auto") -> Library:
        """A store with its encoder: a bare name stands under the home's stores/, anything with a separator is a path."""
        return Library(self, self.store_path(where), encoder=encoder or self.config.encoder, index=index)

    def store_path(self, where: str | Path | None = None) -> Path:
        name = str(where or self.config.store or "default")
        if name.strip() in {"", ".", ".."}:
            raise BadRequest(f"store {name!r} is no name; give a name such as notes, or a path such as ./notes")
        separated = isinstance(where, Path) or "/" in name or "\\" in name or name.startswith("~")
        return Path(name).expanduser() if separated else self.home / "stores" / name

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

        self._set_threads()
        name, _, precision = reference.partition("#")
        folder = hub.resolve(name)
        load = self.registry.encoders.get(self._architecture(folder, self.registry.encoders, "sentence-transformers"))
        model = self.engine.call(load, folder, device=self.device, name=reference, precision=precision)
        runner = f"encode:{reference}"
        self.engine.add_runner(runner, RowRunner(model.embed_rows, row_bytes=4 * model.dimension))
        return EncoderClient(self, runner, model)

    def _load_reader(self, reference: str) -> ReaderClient:
        from mmgen.models.reading import ReaderModel
        from mmgen.runners.rows import RowRunner
        from mmgen.runners.write import WriteRunner

        self._set_threads()
        model = self.engine.call(ReaderModel.load, hub.resolve(reference), device=self.device, name=reference)
        runner = f"read:{reference}"
        self.engine.add_runner(runner, RowRunner(model.read, row_bytes=256))
        self.engine.add_runner(f"write:{reference}", WriteRunner(model))
        return ReaderClient(self, reference, model)

    def _architecture(self, folder: Path, table: Table, otherwise: str) -> str:
        """The `model_type` that a checkpoint names, where a loader of that name is registered."""
        try:
            named = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
        except (OSError, ValueError, AttributeError):
            return otherwise
        return named if named in table else otherwise

    def _set_threads(self) -> None:
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

    def write(self, question: str, passage: str, request: Request | None = None) -> str:
        """Free text from the language-model head: not bound to the passage's words."""
        pair = self.model.pairs(question, [passage])[0]
        return str(self.runtime.submit(f"write:{self.reference}", pair, request))
