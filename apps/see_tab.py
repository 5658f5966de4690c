"""The Image search tab: search the store's images by text or image, and classify an image with given labels (zero-shot)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.config import assets_dir
from mmgen.errors import MmgenError, NotFound
from mmgen.ingest import near_duplicates
from mmgen.interfaces import ImageHit
from mmgen.library.document_indexing import IndexProgress
from mmgen.library.document_library import DocumentLibrary
from mmgen.pipelines.image import image_io
from mmgen.pipelines.image.label_scores import checked
from mmgen.pipelines.tags import tags
from mmgen.pipelines.zero_shot import ZeroShotImage

from . import answer_html, kept_images
from .sessions import Sessions, error_toasts

EXAMPLES = ["a red fruit", "a smiling face", "something that flies"]
LABELS = "cat, dog, apple, rocket, smiling face"
NO_IMAGES = "No images yet: upload some, or load the sample images, which the embedded model generated."
NOTHING_NAMED = "<div class='empty'><p>Upload an image; a bar shows the probability of each label.</p></div>"
BROWSED = 24  # images shown without a query


def tab(library: DocumentLibrary) -> Sessions:
    """Builds the tab -> its sessions, whose requests the caller cancels when a page closes."""
    seeing = SeeHandlers(library)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            gr.HTML("<h3>Search images</h3>")
            text = gr.Textbox(label="Search by text", placeholder="a red fruit", elem_id="see-text")
            like = gr.Image(
                type="filepath", sources=["upload"], label="Search by image", height=130,
                elem_id="see-like",
            )  # fmt: skip
            with gr.Row():
                find = gr.Button("Search", variant="primary", elem_id="see-find")
                all_ = gr.Button("Show all", elem_id="see-all")
            gr.Examples(EXAMPLES, text)
            files = gr.File(label="Add images", file_count="multiple", file_types=["image"], height=130, elem_id="see-files")
            sample = gr.Button("Load sample images", size="sm", elem_id="see-sample")
        with gr.Column(scale=2, min_width=320):
            note = gr.HTML(answer_html.notice(NO_IMAGES), elem_id="see-note")
            found = gr.Gallery(
                show_label=False, columns=4, fit_columns=False, object_fit="contain", height="auto", format="png",
                interactive=False, elem_id="see-found", elem_classes="pixels",
            )  # fmt: skip
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=1, min_width=280):
            gr.HTML("<h3>Classify an image (zero-shot)</h3>")
            given = gr.Image(type="filepath", sources=["upload"], label="Image", height=170, elem_id="see-given")
            labels = gr.Textbox(
                LABELS,
                label="Labels",
                info="separated by commas; empty: the nearest words of a large vocabulary",
                elem_id="see-labels",
            )
            template = gr.Textbox("{}", label="Prompt template", info='such as "an image of a {}"')
            name = gr.Button("Classify", variant="primary", elem_id="see-name")
        with gr.Column(scale=2, min_width=320):
            bars = gr.HTML(NOTHING_NAMED, elem_id="see-bars")
    shown = [found, note]
    files.upload(seeing.add, files, [*shown, files], show_progress_on=note)
    sample.click(seeing.sample, None, [*shown, files], show_progress_on=note)
    for trigger in (text.submit, find.click):
        trigger(seeing.find, [text, like], shown, show_progress_on=note)
    all_.click(seeing.browse, None, shown, show_progress="hidden")
    for trigger in (name.click, labels.submit, given.upload):
        trigger(seeing.name, [given, labels, template], bars, show_progress_on=bars)
    note.attach_load_event(seeing.count, None)
    found.attach_load_event(seeing.all, None)
    return seeing.sessions


class SeeHandlers:
    """Event handlers of the tab."""

    def __init__(self, library: DocumentLibrary) -> None:
        self.rt, self.gallery, self.sessions = library.rt, library.gallery(), Sessions()
        self.classifier = ZeroShotImage(self.rt)

    def all(self) -> list[tuple[Image, str]]:
        """The first of the store's images."""
        try:
            return self._thumbnails(self.gallery.filled().all()[:BROWSED])
        except NotFound:
            return []

    def count(self) -> str:
        try:
            count = self.gallery.filled().count()
        except NotFound:
            return answer_html.notice(NO_IMAGES)
        return f"<p class='status'>{count} images</p>"

    def browse(self) -> tuple[Any, str]:
        return self.all(), self.count()

    def add(self, paths: Sequence[str] | None, http: gr.Request, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        """Uploads are kept in the home directory: Gradio's own copies go after a day."""
        with error_toasts():
            kept = [kept_images.keep(Path(path), kept_images.folder(self.rt.home)) for path in paths or ()]
            return self._added(kept, http, progress)

    def sample(self, http: gr.Request, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
        with error_toasts():
            return self._added([assets_dir() / "images"], http, progress)

    def _added(self, paths: Sequence[Path], http: gr.Request, progress: gr.Progress) -> tuple[Any, ...]:
        def tell(step: IndexProgress) -> None:
            progress(step.files / max(1, step.of), desc=f"{step.files} of {step.of} images")

        if not paths:
            return *self.browse(), None
        with self.sessions.request(http, "batch") as request:
            done = self.gallery.add(list(paths), progress=tell, request=request)
        for name, reason in done.skipped:
            gr.Warning(reason if name in reason else f"{Path(name).name}: {reason}")
        return self.all(), f"<p class='status'>{done}</p>", None

    def find(self, text: str, like: str | None, http: gr.Request) -> tuple[Any, str]:
        """The most similar images, best first, with name and score."""
        with error_toasts(), self.sessions.request(http, "normal") as request:
            seen = None if like is None else image_io.read(like)
            hits = self.gallery.search(text, seen, k=12, request=request)
            return self._thumbnails(hits, scores=True), f"<p class='status'>{len(hits)} images, most similar first</p>"

    def name(self, given: str | None, labels: str, template: str, http: gr.Request) -> str:
        """A bar per label, or, without labels, for the nearest words of the model's vocabulary."""
        if given is None:
            return NOTHING_NAMED
        with error_toasts(), self.sessions.request(http, "interactive") as request:
            if not labels.strip():
                near = tags(self.rt, given, k=8, request=request)
                return answer_html.bars(
                    [(one.caption, one.similarity, f"{one.similarity:.2f}") for one in near.tags], "Nearest words"
                )
            wanted = checked(labels.replace("\n", ","))
            found = self.classifier(given, labels=wanted, template=template.strip() or "{}", request=request)
            return answer_html.judgement(found.labels)

    def _thumbnails(self, hits: Sequence[ImageHit], scores: bool = False) -> list[tuple[Image, str]]:
        """Thumbnails with captions; images removed in the meantime are skipped."""
        store, shown = self.gallery.filled(), []
        for hit in hits:
            try:
                thumbnail = store.look(hit.image_id)[2]
            except MmgenError:
                continue
            shown.append((near_duplicates.opened(thumbnail), f"{hit.score:.2f} · {hit}" if scores else str(hit)))
        return shown
