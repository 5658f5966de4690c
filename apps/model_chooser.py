"""Which models a page offers: embedded, downloaded, and those in the home's folder of models. Loads none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from mmgen import embedded, gguf_files, hub
from mmgen.errors import NotFound, nearest
from mmgen.runtime import Runtime

from . import model_download, on_load

FOLDER = "models"
"""Of the home: GGUF files, safetensors files of image models, and model folders that a user puts there."""


class ModelChooser:
    """`local`: the page serves the owner of this machine alone, who may name any folder, file or repo id."""

    def __init__(self, rt: Runtime, local: bool) -> None:
        self.rt, self.local = rt, local

    def references(self, kind: str) -> list[tuple[str, str]]:
        """Labels and references of the models of that kind that are on this machine."""
        found = [(one.reference, one.reference) for one in hub.models() if one.kind == kind]
        known = {embedded.EMBEDDED[reference].folder for _, reference in found if reference in embedded.EMBEDDED}
        own = [(path.name, str(path)) for path, is_kind in self.own() if is_kind == kind and path not in known]
        return list(dict.fromkeys([*found, *own]))

    def dropdown(self, kind: str, default: str, elem_id: str) -> Any:
        """What chooses a model; it looks again at what is there when the page is opened."""
        if default not in [reference for _, reference in self.references(kind)]:
            shown = (Path(default).name if Path(default).exists() else default, default)
        else:
            shown = None

        def fresh() -> Any:
            return gr.update(choices=[*([shown] if shown else []), *self.references(kind)])

        chooser = gr.Dropdown(
            [*([shown] if shown else []), *self.references(kind)], value=default, label="Model", elem_id=elem_id,
            allow_custom_value=self.local,
            info="or a path or repo id, such as org/name" if self.local else None,
        )  # fmt: skip
        on_load.fill(chooser, fresh)
        return chooser

    def checked(self, kind: str, default: str, chosen: str | None) -> str:
        """Raises NotFound for what this page does not offer."""
        wanted = (chosen or "").strip() or default
        offered = [default, *(reference for _, reference in self.references(kind))]
        if self.local or wanted in offered:
            return wanted
        raise NotFound(f'model "{wanted[:100]}" is not served here{nearest(wanted[:100], offered)}')

    def fetched(
        self, kind: str, reference: str, load: Callable[[], Any], check: Callable[[], None] = lambda: None
    ) -> Iterator[str]:
        """What to tell while a repo id's model that is not on this machine is downloaded; nothing for others.

        `load` and `check`: see model_download.notes, which says what is raised.
        """
        name, there = reference.partition("#")[0], (one for _, one in self.references(kind))
        here = hub.REPOSITORY.fullmatch(name) is None or name in there or Path(name).exists()
        if not here and all(one.name != f"{kind} {reference}" for one in self.rt.engine.models):
            yield from model_download.notes(reference, load, check)

    def own(self) -> Iterator[tuple[Path, str]]:
        """Files and folders of the home's own, with their kinds."""
        for path in sorted((self.rt.home / FOLDER).glob("*")):
            if path.is_dir() and ((path / "config.json").is_file() or (path / "model_index.json").is_file()):
                yield path, hub.kind_of(path)
            elif path.is_file() and path.suffix == gguf_files.SUFFIX:
                yield path, "text"
            elif path.is_file() and path.suffix == ".safetensors":
                yield path, "denoiser"
