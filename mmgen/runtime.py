"""Configuration to models, stores and engine. The one place that wires: what the rooms are to each other is decided here."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mmgen.clients.host import ModelHost
from mmgen.config import RuntimeConfig, home, load_runtime
from mmgen.deprecated import attributes, warn
from mmgen.engine.engine import Engine
from mmgen.engine.job import Request
from mmgen.engine.memory.heap_trimmer import HeapTrimmer
from mmgen.engine.memory.ledger import Ledger
from mmgen.engine.telemetry.trace import Trace
from mmgen.errors import NotFound
from mmgen.plugins import load_plugins, registry
from mmgen.registry import import_target, one_line

if TYPE_CHECKING:
    from mmgen.clients.captioner import CaptionerClient
    from mmgen.clients.cross_encoder import CrossEncoderClient
    from mmgen.clients.encoder import EncoderClient
    from mmgen.clients.image_base import ImageClient
    from mmgen.clients.image_encoder import ImageEncoderClient
    from mmgen.clients.reader import ReaderClient
    from mmgen.clients.reward import RewardClient
    from mmgen.clients.text import TextClient
    from mmgen.clients.upscaler import UpscalerClient
    from mmgen.engine.telemetry.prometheus import MetricsServer
    from mmgen.interfaces import ImageEncoder, Loader

Model = TypeVar("Model")


@attributes(picture_encoder="image_encoder")
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
        self.engine = self._engine()
        self.host = ModelHost(self.engine, self.registry, self.config, self.home)
        port = self.config.metrics_port
        self._metrics_server = None if port is None else self._serve_metrics(port)
        self._models: dict[tuple[str, str], Any] = {}
        self._loading = threading.RLock()

    def _serve_metrics(self, port: int) -> MetricsServer:
        from mmgen.engine.telemetry.prometheus import MetricsServer

        return MetricsServer(self.engine.metrics, port)

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

    def _engine(self) -> Engine:
        config = self.config
        policy = self.registry.policies.get(config.policy)()
        ledger = Ledger(config.memory_limit, config.device, partial(_measured, config.device))
        trace = None if config.trace is None else Trace(config.trace)
        engine = Engine(
            {},
            policy,
            ledger,
            max_gap_ms=config.max_gap_ms,
            trace=trace,
            watchdog_s=config.watchdog_s,
            free_memory=_free_memory,
        )
        engine.observers.append(HeapTrimmer())
        return engine

    def sleep(self, model: str, drop: bool = False) -> None:
        """Sends a loaded model off the device until it is needed: its reference, as in `sleep("embedded:emoji")`.

        Where there is a GPU it rests in the host's memory, or with `drop` nowhere. Raises Busy while it has jobs or is pinned.
        """
        self.engine.call(self.engine.models.sleep, model, drop)

    def wake(self, model: str) -> None:
        """Brings it back before it is needed. Raises Busy where there is no place."""
        self.engine.call(self.engine.models.wake, model)

    def pin(self, model: str, pinned: bool = True) -> None:
        """A pinned model stays on the device."""
        self.engine.call(self.engine.models.pin, model, pinned)

    def close(self, drain: bool = True) -> None:
        """Finishes what is queued (or cancels it) and stops the engine. Safe to repeat."""
        with Runtime._guard:
            if Runtime._shared is self:
                Runtime._shared = None
        self.engine.close(drain=drain)
        if self._metrics_server is not None:
            self._metrics_server.close()

    @property
    def device(self) -> str:
        """See `ModelHost.device`."""
        return self.host.device

    def encoder(self, reference: str | None = None) -> EncoderClient:
        """The encoder of that reference, through the engine."""
        from mmgen.clients import encoder

        return self._once("encoder", reference or self.config.encoder, lambda key: encoder.load(self.host, key))

    def cross_encoder(self, reference: str) -> CrossEncoderClient:
        """The cross-encoder of that reference, through the engine."""
        from mmgen.clients import cross_encoder

        return self._once("cross-encoder", reference, lambda key: cross_encoder.load(self.host, key))

    def reader(self, reference: str | None = None) -> ReaderClient:
        """The reader of that reference, through the engine."""
        from mmgen.clients import reader

        return self._once(
            "reader", reference or self.config.reader, lambda key: reader.load(self.host, key, self.cross_encoder)
        )

    def text(self, reference: str | None = None, draft: str | None = None, *, images: bool = False) -> TextClient:
        """The language model of that reference, with a draft model if one is named, through the engine.

        images: it is to see some, if it can: a few models run faster where they read text alone, and are loaded once more.
        """
        from mmgen.clients import text

        reference = reference or self.config.text
        key = reference if draft is None else f"{reference}+{draft}"
        if images and text.sees_apart(reference):
            return self._once(
                "text", f"{key} with images", lambda key: text.load(self.host, key, reference, draft, images=True)
            )
        return self._once("text", key, lambda key: text.load(self.host, key, reference, draft))

    def denoiser(
        self,
        reference: str | None = None,
        lora: Sequence[str] = (),
        vae: str | None = None,
        text_encoder: Sequence[str] = (),
        preview_vae: str | None = None,
        upscaler: str | None = None,
    ) -> ImageClient:
        """The text-to-image model of that reference, called with these LoRA files (PATH or PATH@SCALE), through the engine.

        vae: an autoencoder, a file or a folder in diffusers' format, instead of the model's own.
        text_encoder: files and folders of text encoders, for a single file that has none.
        preview_vae: a tiny decoder of latents, a file or a folder, that shows previews instead of the model's own.
        upscaler: a network's file that makes the images larger, with hires fix before they are drawn again.
        """
        from mmgen.clients import image_models
        from mmgen.image_params import LoraWeight

        loras = [LoraWeight.read(text) for text in lora]
        reference = reference or self.config.denoiser
        own = None if vae is None else Path(vae).expanduser()
        if own is not None and not own.exists():
            raise NotFound(f"VAE {own} does not exist; give a safetensors file or a folder in diffusers' format")
        texts = [_place(one) for one in text_encoder]
        key = " with ".join([reference, *(str(one) for one in (own, *texts) if one is not None)])
        client: ImageClient = self._once("denoiser", key, lambda key: image_models.load(self.host, key, reference, own, texts))
        if preview_vae is not None:
            tiny, whole = _place(preview_vae), client
            client = self._once("preview decoder", f"{key} by {tiny}", lambda key: whole.with_preview_decoder(tiny))
        if upscaler is not None:
            client = client.with_upscaler(self.upscaler(upscaler), Path(upscaler).expanduser())
        return client.with_loras(loras) if loras else client

    def reward_model(self, reference: str) -> RewardClient:
        """The reward model of that folder, through the engine."""
        from mmgen.clients import reward

        return self._once("reward", reference, lambda key: reward.load(self.host, key))

    def upscaler(self, reference: str) -> UpscalerClient:
        """The network of that file that makes images larger, through the engine."""
        from mmgen.clients import upscaler

        return self._once("upscaler", reference, lambda key: upscaler.load(self.host, key))

    def image_encoder(self, reference: str | None = None) -> ImageEncoder:
        """The image encoder of that reference; its passes are `engine.call`s."""
        from mmgen.clients import image_encoder

        return self._once(
            "image encoder", reference or self.config.image_encoder, lambda key: image_encoder.load_model(self.host, key)
        )

    def seeing(self, reference: str | None = None) -> ImageEncoderClient:
        """The image encoder or classifier of that reference, through the engine."""
        from mmgen.clients import image_encoder

        def load(key: str) -> ImageEncoderClient:
            return image_encoder.ImageEncoderClient(self.host, key, self.image_encoder(key))

        return self._once("seeing", reference or self.config.image_encoder, load)

    def captioner(self, reference: str) -> CaptionerClient:
        """The vision-language model of that reference, through the engine."""
        from mmgen.clients import captioner

        return self._once("captioner", reference, lambda key: captioner.CaptionerClient(self.host, key))

    def library(self, where: str | Path | None = None, *, encoder: str | None = None) -> Any:
        """Deprecated: `DocumentLibrary.open(rt, ...)` of mmgen.library.document_library, a room above this one."""
        warn("Runtime.library", "mmgen.library.document_library.DocumentLibrary.open")
        return import_target("mmgen.library.document_library:DocumentLibrary.open", "a library")(self, where, encoder=encoder)

    def loaders(self) -> dict[str, Loader]:
        """The plugins' loaders by suffix, imported on use; what fails in one is told as the file's fault."""
        from mmgen.ingest.charset import Unreadable

        def guarded(name: str) -> Loader:
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
        """See `ModelHost.submit`."""
        return self.host.submit(runner, payload, request)

    def _once(self, kind: str, reference: str, load: Callable[[str], Model]) -> Model:
        with self._loading:
            if (kind, reference) not in self._models:
                self._models[kind, reference] = load(reference)
            model: Model = self._models[kind, reference]
            return model


def _measured(device: str) -> dict[str, int]:
    """What the allocator of a GPU says, or the process's memory on a CPU."""
    cuda = None if device == "cpu" else _cuda()
    if cuda is not None:
        return {"allocated": cuda.memory_allocated(), "peak": cuda.max_memory_allocated()}
    import psutil

    return {"process": psutil.Process().memory_info().rss}


def _free_memory() -> None:
    """What a GPU's allocator keeps for later."""
    if (cuda := _cuda()) is not None:
        cuda.empty_cache()


def _cuda() -> Any:
    """torch.cuda, where it is in use; torch is not imported for it, and may be half imported by another thread."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    started = getattr(cuda, "is_initialized", None)
    return cuda if started is not None and started() else None


def _place(reference: str) -> Path:
    """A file or folder here, or of a repository. Raises NotFound where it is neither."""
    from mmgen import hub

    path = Path(reference).expanduser()
    return path if path.exists() else hub.resolve(reference)
