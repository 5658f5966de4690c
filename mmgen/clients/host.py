"""Loads models and gives them to the engine: what every client is made of. Knows no task; the runtime builds it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen import hub, weight_files
from mmgen.config import precision_policy
from mmgen.engine.job import Job, Request

if TYPE_CHECKING:
    from mmgen.config import RuntimeConfig
    from mmgen.engine.engine import Engine
    from mmgen.interfaces import Runner
    from mmgen.models.checkpoints.offload import Buffers, LoadedModel
    from mmgen.models.tuning.tuner import Tuner
    from mmgen.models.tuning.workload import Workload
    from mmgen.registry import Registry, Table


ModelLoader = Callable[..., Any]
"""`(folder, *, device, name) -> model`, and `precision`, unless it knows none: the target of the registry's models."""


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """Models that were loaded together and leave the device together; most often one."""

    folders: Sequence[Path]  # of their weights
    loaded: LoadedModel[list[Any]]
    precisions: Sequence[str] = ("",)  # of each, as behind the # of a reference; empty: a model's own
    chooses: bool = False  # whether the first one's loader takes precisions

    @property
    def precision(self) -> str:
        return self.precisions[0]

    @property
    def folder(self) -> Path:
        return self.folders[0]

    @property
    def model(self) -> Any:
        return self.loaded.model[0]

    @property
    def models(self) -> list[Any]:
        return self.loaded.model

    def keep(self, buffers: Buffers) -> None:
        """These leave the device and come back with the weights."""
        self.loaded.beside.append(buffers)


@dataclass(eq=False)
class Opening:
    """A model as it is loaded, every time."""

    folder: Path
    precision: str
    make: Callable[[str], Any]
    chooses: bool = False  # whether its loader takes precisions
    model: Any = None  # loaded already, while its precision was measured

    def load(self) -> Any:
        model, self.model = self.model, None
        return self.make(self.precision) if model is None else model


class ModelHost:
    """The engine, the device, the registry and the configuration, as clients need them."""

    def __init__(self, engine: Engine, registry: Registry, config: RuntimeConfig, home: Path) -> None:
        self.engine, self.registry, self.config, self.home = engine, registry, config, home
        self._runners = threading.Lock()
        self.precisions: dict[str, str] = {}  # of the references that were opened; empty: a model's own

    @cached_property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`, as the configuration says; "auto" takes the best there is."""
        if self.config.device != "auto":
            return self.config.device
        import torch

        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"

    def open(
        self,
        kind: str,
        *references: str,
        runners: Sequence[str],
        loader: Callable[[Path], ModelLoader],
        key: str | None = None,
        prepare: Callable[[Any], Any] | None = None,
        precisions: bool = True,
        pinned: bool = False,
        beside: bool = False,
        workload: Callable[[], Workload] | None = None,
    ) -> OpenedModel:
        """Loads models on the device's thread, and again whenever one of these runners needs them and they had to leave.

        Args:
            kind: what `hub.resolve` and users call it, such as "encoder".
            references: one or more; each may end with a precision, as in `FOLDER#bf16`, unless `precisions` is False.
            runners: whose jobs need the models. The caller gives them to the engine.
            loader: what loads a folder; see `registered`.
            key: names the models together where there is more to tell than the first reference.
            prepare: called with each model before its first use.
            pinned: they stay on the device.
            beside: the runners need them besides the models that they need already.
            workload: of models of this kind, which measure their precision where a reference names none.
        """
        from mmgen.models.checkpoints.offload import LoadedModel

        if self.config.threads:
            import torch

            torch.set_num_threads(self.config.threads)
        opened = [
            self._opening(kind, reference, loader, prepare, precisions, None if workload is None else workload())
            for reference in references
        ]

        def load() -> list[Any]:
            return [one.load() for one in opened]

        folders = [one.folder for one in opened]
        name, pool = f"{kind} {key or references[0]}", self.engine.models
        nbytes = sum(path.stat().st_size for folder in folders for path in weight_files.used(folder))
        loaded = self.engine.call(pool.register, name, nbytes, lambda: LoadedModel(load, self.device))
        pool.serve(name, runners, beside)
        if pinned:
            self.engine.call(pool.pin, name, True)
        return OpenedModel(folders, loaded, [one.precision for one in opened], opened[0].chooses)

    def _opening(
        self,
        kind: str,
        reference: str,
        loader: Callable[[Path], ModelLoader],
        prepare: Callable[[Any], Any] | None,
        precisions: bool,
        workload: Workload | None,
    ) -> Opening:
        name, _, precision = reference.partition("#") if precisions else (reference, "", "")
        folder = hub.resolve(name, kind=kind)
        load_one = loader(folder)
        takes_one = precisions and "precision" in signature(load_one).parameters

        def load(precision: str) -> Any:
            options = {"precision": precision} if precision or takes_one else {}
            model = load_one(folder, device=self.device, name=reference, **options)
            return model if prepare is None else prepare(model)

        opening = Opening(folder, precision, load, takes_one)
        if workload is not None and takes_one and not precision:
            from mmgen.models.tuning.tuner import Subject

            subject = Subject(name, folder, load, self.engine.call, lambda: not self.engine.jobs())
            opening.precision, opening.model = self.tuner.precision(workload, subject)
        self.precisions[reference] = opening.precision
        return opening

    def runner(self, kind: str, name: str, *arguments: Any, **options: Any) -> Runner:
        """The engine's runner of that name, made of these arguments by the registry's runner `kind` where there is none yet."""
        with self._runners:
            if name not in self.engine.runners:
                self.engine.add_runner(name, self.registry.runners.get(kind)(*arguments, **options))
            return self.engine.runners[name]

    def add_rows(self, name: str, model: Any, run: Callable[[Sequence[Any]], Sequence[Any]], row_bytes: int) -> None:
        """Gives the engine a runner of a text encoder's rows; a model without `pads` is taken to pad them.

        On a CPU rows of one length alone share a pass of such a model, so that none is padded and its bits are as alone.
        """
        from mmgen.runners.token_batch import TokenBatchRunner

        budget = 768 if self.device == "cpu" else 16_384  # tokens: activations that stay in a core's cache
        padding = float("inf") if not getattr(model, "pads", True) else 1.0 if self.device == "cpu" else 1.15
        self.engine.add_runner(name, TokenBatchRunner(run, budget=budget, row_bytes=row_bytes, padding=padding))

    @cached_property
    def tuner(self) -> Tuner:
        """Chooses the precision of models whose references name none."""
        from mmgen.models.tuning.tuner import Tuner

        return Tuner(self.home / "precision", self.device, precision_policy(self.config.precision) == "measured")

    def submit(self, runner: str, payload: Any, request: Request | None = None) -> Any:
        """One job from submission to result; if the caller is interrupted, the job is cancelled."""
        handle = self.engine.submit(Job(runner=runner, payload=payload, request=request or Request.new()))
        try:
            return handle.result()
        except BaseException:
            handle.cancel()
            raise


def registered(table: Table, otherwise: str | Callable[[Path], str]) -> Callable[[Path], ModelLoader]:
    """Chooses from `table` by the `model_type` in a folder's config.json; where it has no loader of that name, `otherwise`."""

    def choose(folder: Path) -> ModelLoader:
        try:
            named = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
        except (OSError, ValueError, AttributeError):
            named = ""
        if named not in table:
            named = otherwise if isinstance(otherwise, str) else otherwise(folder)
        loader: ModelLoader = table.get(named)
        return loader

    return choose
