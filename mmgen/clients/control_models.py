"""The control models of one denoiser: opened when they are first asked for, beside it on the device."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.clients.host import ModelHost, ModelLoader
from mmgen.errors import Busy

if TYPE_CHECKING:
    from mmgen.image_params import ControlInput
    from mmgen.models.diffusion.control.row_control import ControlModel, RowControl
    from mmgen.models.diffusion.denoiser import DenoiserModel
    from mmgen.runners.denoise import DenoiseRunner

KEPT = 4
"""Models that stay opened for the next request; those that no job needs are freed first."""


class ControlModels:
    """Thread-safe."""

    def __init__(self, host: ModelHost, runner: str, work: DenoiseRunner, base: DenoiserModel) -> None:
        self.host, self.runner, self.work, self.base = host, runner, work, base
        self._opened: OrderedDict[str, ControlModel] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, reference: str) -> ControlModel:
        """The model of that reference. Raises NotFound, or BadWeights for one that is none of this denoiser's."""
        with self._lock:
            if reference not in self._opened:
                self._opened[reference] = self._open(reference)
            self._opened.move_to_end(reference)
            self._spare()
            return self._opened[reference]

    def prepared(self, given: ControlInput) -> RowControl:
        """What a row is controlled by, once its image was seen by the model."""
        from mmgen.models.diffusion.control.row_control import RowControl

        model, asked = self.get(given.reference), given.asked
        seen = self.host.engine.call_with(self.runner, model.prepare, given)
        return RowControl(model, seen, asked.scale, asked.start, asked.end)

    def _open(self, reference: str) -> ControlModel:
        from mmgen.models.diffusion.control import loading

        def loader(folder: Path) -> ModelLoader:
            return partial(loading.load, base=self.base)

        opened = self.host.open(
            "control", reference, runners=[self.runner], loader=loader, key=self._key(reference), precisions=False, beside=True
        )
        model: Any = opened.model
        self.host.engine.call(self.work.add_networks, model.modules())
        return model  # type: ignore[no-any-return]

    def _key(self, reference: str) -> str:
        return f"{reference} for {self.runner}"

    def _spare(self) -> None:
        for reference in list(self._opened)[: max(0, len(self._opened) - KEPT)]:
            try:
                self.host.engine.call(self.host.engine.models.forget, f"control {self._key(reference)}")
            except Busy:
                continue
            del self._opened[reference]
