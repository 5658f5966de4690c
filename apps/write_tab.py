"""The Text tab: one prompt is continued in three ways at once. Knows what stands where; not how texts are written."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.engine.job import Request
from mmgen.errors import Cancelled, MmgenError
from mmgen.pipelines.language.attention_plot import read_again
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime
from mmgen.text_params import Strategy

from . import answer_html
from .live_runs import Frame, LiveRuns
from .model_chooser import ModelChooser
from .sessions import Pages, Sessions, Shows, error_toasts
from .token_html import TokenSheet

EXAMPLES = ["It was a dark and stormy night;", "The old sailor looked at the sea and", "Whales are the largest"]
STRATEGIES: dict[Strategy, tuple[str, str]] = {
    "greedy": ("Greedy", "the most probable token at each step"),
    "sample": ("Sample", "sampled from the distribution at the given temperature"),
    "beam": ("Beam search", "the most probable of four beams"),
}
EMPTY = "<div class='empty'><p>{}</p></div>"
EVERY = 0.08  # seconds between two looks at a text that grows
LIKELIEST = 3  # tokens that are named beside the one that was taken
HINT = "Enter generates, Shift+Enter begins a new line."


def tab(rt: Runtime, chooser: ModelChooser, pages: Pages) -> Shows:
    """Builds it -> what shows a reloaded page its texts again."""
    writing = WriteHandlers(rt, chooser, pages)
    with gr.Row(elem_classes="columns"):
        with gr.Column(scale=3, min_width=280):
            prompt = gr.Textbox(EXAMPLES[0], label="Prompt", lines=1, max_lines=8, info=HINT, elem_id="write-prompt")
            gr.Examples(EXAMPLES, prompt, label="Example prompts")
        with gr.Column(scale=1, min_width=200):
            model = chooser.dropdown("text", writing.default, "write-model")
            go = gr.Button("Generate", variant="primary", elem_id="write-go")
            stop = gr.Button("Stop", elem_id="write-stop")
    with gr.Row():
        most = gr.Slider(8, 256, 64, step=8, label="Max tokens", min_width=200, elem_id="write-most")
        temperature = gr.Slider(0.1, 2, 0.8, step=0.1, label="Temperature", min_width=200)
        seed = gr.Number(-1, label="Seed (-1: random)", precision=0, elem_id="write-seed")
        lock = gr.Checkbox(label="Fixed seed", elem_id="write-lock")
    shown, texts = dict[Strategy, Any](), dict[Strategy, gr.State]()
    with gr.Row(elem_classes="columns"):
        for strategy, (name, about) in STRATEGIES.items():
            with gr.Column(min_width=260):
                gr.HTML(f"<h2>{name}</h2><p class='facts'>{about}</p>")
                shown[strategy] = gr.HTML(EMPTY.format("Nothing generated yet."), elem_id=f"write-{strategy}")
                texts[strategy] = gr.State("")
    gr.HTML(
        "<p class='facts'>The warmer a token's colour, the lower its probability; hover over one to see the alternatives. Beam "
        "search reports no probabilities of single tokens.</p>"
    )
    with gr.Accordion("Attention maps", open=False):
        with gr.Row(equal_height=True):
            which = gr.Radio([(STRATEGIES[name][0], name) for name in texts], value="greedy", label="Generated text", scale=3)
            draw = gr.Button("Plot attention", scale=1, min_width=140, elem_id="write-attention")
        gr.HTML(
            "<p class='facts'>One row per layer, one column per head; a map's rows show each token's attention weights.</p>"
        )
        maps = gr.Image(label="Attention maps", show_label=False, format="png", interactive=False, elem_id="write-maps")
    outputs = [*shown.values(), *texts.values(), seed]
    gr.on(
        [go.click, prompt.submit], writing.write, [prompt, model, most, temperature, seed, lock], outputs,
        show_progress="hidden", trigger_mode="once",
    )  # fmt: skip
    stop.click(writing.sessions.cancel, queue=False)
    draw.click(writing.attention, [which, prompt, model, *texts.values()], maps)
    return writing.runs.resume, None, outputs


class WriteHandlers:
    """What the tab's buttons do."""

    def __init__(self, rt: Runtime, chooser: ModelChooser, pages: Pages) -> None:
        self.rt, self.chooser, self.sessions = rt, chooser, Sessions(pages)
        self.runs = LiveRuns(pages, 2 * len(STRATEGIES) + 1)
        self.default = TextGeneration(rt).reference

    def write(
        self, prompt: str, model: str | None, most: float, temperature: float, seed: float | None, lock: bool, http: gr.Request
    ) -> Iterator[Frame]:
        """The three texts as they grow, their raw texts, and the sample's seed. What was written before a stop stays."""
        options: dict[str, Any] = {"max_tokens": int(most), "temperature": temperature}
        options["seed"] = int(seed) if lock and seed is not None else None

        def steps(_: Path) -> Iterator[Frame]:
            with error_toasts(), self.sessions.request(http, "interactive") as request:
                text = self.text(model)
                yield self._waiting(prompt, "Loading the model")
                for note in self.chooser.fetched("text", text.reference, lambda: self.rt.text(text.reference), request.check):
                    yield self._waiting(prompt, note)
                text.rt.text(text.reference)  # loaded before any column's time begins
                columns = [Column(text, prompt, one, options, request) for one in STRATEGIES]
                yield from together(columns)
                if failed := next((one.failed for one in columns if one.failed), None):
                    raise failed

        yield from self.runs.start(http, steps)

    def text(self, model: str | None) -> TextGeneration:
        """Raises NotFound for a model that this page does not offer."""
        return TextGeneration(self.rt, model=self.chooser.checked("text", self.default, model))

    def _waiting(self, prompt: str, note: str) -> Frame:
        shown = TokenSheet(prompt).html(note, True)
        return (*[shown] * len(STRATEGIES), *[""] * len(STRATEGIES), gr.skip())

    def attention(self, which: Strategy, prompt: str, model: str | None, *texts: str) -> Image:
        """The image for one of the three texts with its beginning."""
        written = dict(zip(STRATEGIES, texts, strict=True))[which]
        with error_toasts():
            client = self.rt.text(self.text(model).reference)
            return read_again(client, prompt + written)


class Column:
    """One strategy's text, written in a thread of its own; all three belong to one request."""

    def __init__(
        self, text: TextGeneration, prompt: str, strategy: Strategy, options: dict[str, Any], request: Request
    ) -> None:
        self.strategy, self.failed, self.seed = strategy, None, gr.skip()
        self._text, self._request, self._sheet = text, request, TokenSheet(prompt)
        logprobs = None if strategy == "beam" else LIKELIEST  # beam search has none
        self._options = {**options, "strategy": strategy, "logprobs": logprobs}
        waiting = "Searching; beam search shows its text at the end" if strategy == "beam" else "Processing the prompt"
        self.html, self.raw = self._sheet.html(waiting, True), ""

    failed: MmgenError | None

    def write(self, changed: SimpleQueue[bool]) -> None:
        """Tells `changed` False when there is more to see, and True when it has ended."""
        try:
            note, looked = "Stopped.", 0.0
            try:
                for event in self._text.stream(self._sheet.prompt, **self._options, request=self._request):
                    if event.kind != "text":
                        note, self.seed = self._sheet.facts(event.value), event.value.seed
                        continue
                    self._sheet.take(event.value)
                    if time.monotonic() - looked > EVERY:
                        looked = time.monotonic()
                        self.html, self.raw = self._sheet.html("Generating", True), self._sheet.text
                        changed.put(False)
            except Cancelled:
                pass
            self.html, self.raw = self._sheet.html(note, False), self._sheet.text
        except MmgenError as why:
            self.failed, self.html = why, answer_html.notice(str(why))
        finally:
            changed.put(True)


def together(columns: list[Column]) -> Iterator[Frame]:
    """All of them as they stand, whenever one has changed."""
    changed: SimpleQueue[bool] = SimpleQueue()
    for one in columns:
        threading.Thread(target=one.write, args=(changed,), name=f"mmgen-page-{one.strategy}", daemon=True).start()
    going = len(columns)
    while going:
        going -= changed.get()
        while not changed.empty():
            going -= changed.get()
        sample = next(one for one in columns if one.strategy == "sample")
        yield (*(one.html for one in columns), *(one.raw for one in columns), sample.seed)
