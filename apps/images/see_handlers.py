"""What the Image search tab does: images in, found, removed and classified."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.config import assets_dir
from mmgen.engine.job import Request
from mmgen.errors import MmgenError, NotFound
from mmgen.ingest import near_duplicates
from mmgen.interfaces import ImageHit
from mmgen.library.document_indexing import IndexProgress
from mmgen.library.image_library import ImageLibrary, prepared
from mmgen.pipelines.image import image_io
from mmgen.pipelines.image.label_scores import checked
from mmgen.pipelines.tags import tags
from mmgen.pipelines.zero_shot import ZeroShotImage

from .. import answer_html
from ..model_chooser import ModelChooser
from ..page_stores import PageStores
from ..sessions import Pages, Sessions, error_toasts
from . import kept_images

NO_IMAGES = "No images yet: upload some, or load the sample images, which the embedded model generated."
NOTHING_NAMED = "<div class='empty'><p>Upload an image; a bar shows the probability of each label.</p></div>"
BROWSED = 24  # images shown without a query
FLOORS = {"embedded:emoji-clip": 0.28}
"""Cosine of a label with an image below which it does not fit: drawings have 0.38 to 0.6 with their names, 0.23 and less with
others; photographs 0.21 and less with any of five labels."""
INSTEAD = 3  # words that are named where no label fits
Frame = tuple[list[tuple[Image, str]], str, list[str], str | None, Any]
"""Thumbnails, a note, their sources in that order, the chosen one's, and the button that removes it."""


class SeeHandlers:
    """Event handlers of the tab."""

    def __init__(self, stores: PageStores, chooser: ModelChooser, pages: Pages) -> None:
        self.stores, self.chooser, self.rt, self.sessions = stores, chooser, stores.rt, Sessions(pages)
        self.default = self.rt.config.image_encoder

    def gallery(self, store: str | None, http: gr.Request, scope: str = "stores") -> ImageLibrary:
        return self.stores.library(store, http, scope).gallery()

    def stores_fresh(self, http: gr.Request) -> Any:
        return gr.update(choices=self.stores.names(http))

    def browse(self, store: str | None, http: gr.Request, said: str = "") -> Frame:
        """The first of the store's images."""
        with error_toasts():
            gallery = self.gallery(store, http)
        try:
            images = gallery.filled()
        except NotFound:
            return self._shown(gallery, [], said or answer_html.notice(NO_IMAGES))
        note = f"<p class='status'>{answer_html.counted(images.count(), 'image')}</p>"
        return self._shown(gallery, images.all()[:BROWSED], said or note)

    def add(
        self, store: str | None, paths: Sequence[str] | None, http: gr.Request, progress: gr.Progress = gr.Progress()  # noqa: B008
    ) -> tuple[Any, ...]:  # fmt: skip
        """Uploads are kept in the home directory: Gradio's own copies go after a day."""
        with error_toasts():
            kept = [kept_images.keep(Path(path), kept_images.folder(self.rt.home)) for path in paths or ()]
            return *self._added(store, kept, http, progress), None

    def sample(self, store: str | None, http: gr.Request, progress: gr.Progress = gr.Progress()) -> Frame:  # noqa: B008
        with error_toasts():
            return self._added(store, [assets_dir() / "images"], http, progress)

    def _added(self, store: str | None, paths: Sequence[Path], http: gr.Request, progress: gr.Progress) -> Frame:
        def tell(step: IndexProgress) -> None:
            progress(step.files / max(1, step.of), desc=f"{step.files} of {answer_html.counted(step.of, 'image')}")

        if not paths:
            return self.browse(store, http)
        with self.sessions.request(http, "batch") as request:
            done = self.gallery(store, http, "stores:write").add(list(paths), progress=tell, request=request)
        for name, reason in done.skipped:
            gr.Warning(reason if name in reason else f"{Path(name).name}: {reason}")
        return self.browse(store, http, f"<p class='status'>{done}</p>")

    def find(self, store: str | None, text: str, like: str | None, http: gr.Request) -> Frame:
        """The most similar images, best first, with name and score."""
        with error_toasts(), self.sessions.request(http, "normal") as request:
            gallery = self.gallery(store, http)
            seen = None if like is None else image_io.read(like)
            hits = gallery.search(text, seen, k=12, request=request)
            note = f"<p class='status'>{answer_html.counted(len(hits), 'image')}, most similar first</p>"
            return self._shown(gallery, hits, note, scores=True)

    def chosen(self, sources: list[str], event: gr.SelectData) -> tuple[str, Any]:
        """The image that was pressed can be removed."""
        source = sources[event.index]
        return source, gr.update(interactive=True, value=f"Remove {Path(source).name} from the store")

    def remove(self, store: str | None, picked: str | None, http: gr.Request) -> Frame:
        """All images of that source: an image file is one, a document may have several."""
        with error_toasts():
            gone = self.stores.remove(store, [picked] if picked else [], http)
        return self.browse(store, http, f"<p class='status'>{answer_html.counted(gone, 'source')} of images removed</p>")

    def name(self, model: str | None, given: str | None, labels: str, template: str, http: gr.Request) -> Iterator[str]:
        """A bar per label, or, without labels, for the nearest words of the model's vocabulary. Where none of the labels fits,
        as far as that is known of the model, it says so. Before that, how much of a model that is downloaded has arrived."""
        if given is None:
            yield NOTHING_NAMED
            return
        with error_toasts(), self.sessions.request(http, "interactive") as request:
            reference = self.chooser.checked("image encoder", self.default, model)
            for note in self.chooser.fetched("image encoder", reference, lambda: self.rt.seeing(reference), request.check):
                yield f"<p class='pending'>{escape(note)}</p>"
            yield self._bars(reference, given, labels, template, request)

    def _bars(self, reference: str, given: str, labels: str, template: str, request: Request) -> str:
        if not labels.strip():
            near = tags(self.rt, given, model=reference, k=8, request=request)
            rows = [(one.caption, one.similarity, f"{one.similarity:.2f}") for one in near.tags]
            return answer_html.bars(rows, "Nearest words")
        wanted, template = checked(labels.replace("\n", ",")), template.strip() or "{}"
        found = ZeroShotImage(self.rt, model=reference)(given, labels=wanted, template=template, request=request)
        return self._misfit(reference, given, wanted, template, request) + answer_html.judgement(found.labels)

    def _misfit(self, reference: str, given: str, labels: Sequence[str], template: str, request: Request) -> str:
        """That none of the labels fits; empty where one does, or it cannot be told."""
        floor = FLOORS.get(reference.partition("#")[0])
        if floor is None:
            return ""
        client = self.rt.seeing(reference)
        vector = client.embed_images([prepared(image_io.read(given))], request)[0]
        best = float((client.embed_texts([template.replace("{}", one) for one in labels], request) @ vector).max())
        if best >= floor:
            return ""
        near = tags(self.rt, given, model=reference, k=INSTEAD, request=request).tags
        words = ", ".join(f"{one.caption} ({one.similarity:.2f})" for one in near)
        told = f"None of these: the best label has similarity {best:.2f}, one that fits {floor:.2f} or more."
        return f"<p class='warn'>{told} Nearest words: {escape(words)}.</p>"

    def _shown(self, gallery: ImageLibrary, hits: Sequence[ImageHit], note: str, scores: bool = False) -> Frame:
        """Thumbnails with captions; images removed in the meantime are skipped."""
        shown, sources = list[tuple[Image, str]](), list[str]()
        for hit in hits:
            try:
                thumbnail = gallery.filled().look(hit.image_id)[2]
            except MmgenError:
                continue
            shown.append((near_duplicates.opened(thumbnail), f"{hit.score:.2f} · {hit}" if scores else str(hit)))
            sources.append(hit.source)
        button = gr.update(interactive=False, value="Remove the chosen image from the store")
        return shown, note, sources, None, button
