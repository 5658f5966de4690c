"""The tab Write: one beginning goes on in three ways at once. Knows what stands where; not how texts are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from PIL.Image import Image

from mmgen.errors import Cancelled, MmgenError
from mmgen.pipelines.language.attention_plot import read_again
from mmgen.pipelines.text import TextGeneration
from mmgen.runtime import Runtime
from mmgen.text_params import Strategy

from . import answer_html
from .sessions import Sessions, error_toasts
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


def tab(rt: Runtime) -> Sessions:
    """Builds it; the caller cancels what a closed page leaves behind."""
    writing = WriteHandlers(TextGeneration(rt))
    with gr.Row(elem_classes="columns"):
        prompt = gr.Textbox(EXAMPLES[0], label="Prompt", lines=2, scale=3, min_width=280, elem_id="write-prompt")
        with gr.Column(scale=1, min_width=200):
            go = gr.Button("Generate", variant="primary", elem_id="write-go")
            stop = gr.Button("Stop", elem_id="write-stop")
    gr.Examples(EXAMPLES, prompt, label="Example prompts")
    with gr.Row():
        most = gr.Slider(8, 256, 64, step=8, label="Max tokens", elem_id="write-most")
        temperature = gr.Slider(0.1, 2, 0.8, step=0.1, label="Temperature")
        seed = gr.Number(label="Seed", precision=0, value=None, elem_id="write-seed")
        lock = gr.Checkbox(label="Fixed seed", elem_id="write-lock")
    texts: dict[Strategy, gr.State] = {}
    with gr.Row(elem_classes="columns"):
        for strategy, (name, about) in STRATEGIES.items():
            with gr.Column(min_width=260):
                gr.HTML(f"<h3>{name}</h3><p class='facts'>{about}</p>")
                shown = gr.HTML(EMPTY.format("Nothing generated yet."), elem_id=f"write-{strategy}")
                texts[strategy] = gr.State("")
            inputs, outputs = [prompt, most, temperature, seed, lock], [shown, texts[strategy]]
            outputs += [seed] if strategy == "sample" else []
            for trigger in (go.click, prompt.submit):
                trigger(writing.write(strategy), inputs, outputs, show_progress="hidden", trigger_mode="once")
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
    stop.click(writing.sessions.cancel, queue=False)
    draw.click(writing.attention, [which, prompt, *texts.values()], maps)
    return writing.sessions


class WriteHandlers:
    """What the tab's buttons do."""

    def __init__(self, text: TextGeneration) -> None:
        self.text, self.sessions = text, Sessions()

    def write(self, strategy: Strategy) -> Any:
        """What fills the column of that strategy; the sample's also tells its seed."""
        outputs = 3 if strategy == "sample" else 2

        def run(
            prompt: str, most: float, temperature: float, seed: float | None, lock: bool, http: gr.Request
        ) -> Iterator[tuple[Any, ...]]:
            options: dict[str, Any] = {"strategy": strategy, "max_tokens": int(most), "temperature": temperature}
            options["seed"] = int(seed) if lock and seed is not None else None
            options["logprobs"] = None if strategy == "beam" else LIKELIEST  # beam search has none
            for shown in self._written(prompt, options, http):
                yield shown[:outputs]

        return run

    def _written(self, prompt: str, options: dict[str, Any], http: gr.Request) -> Iterator[tuple[Any, ...]]:
        """The text as it grows, and at last as it may be read again, with its seed. What was written before a stop stays."""
        sheet, note, seed, looked = TokenSheet(prompt), "Stopped.", gr.skip(), 0.0
        yield (
            sheet.html(
                "Searching; beam search shows its text at the end"
                if options["strategy"] == "beam"
                else "Processing the prompt",
                True,
            ),
            "",
            seed,
        )
        try:
            with self.sessions.request(http, "interactive") as request:
                for event in self.text.stream(prompt, **options, request=request):
                    if event.kind != "text":
                        note, seed = sheet.facts(event.value), event.value.seed
                        continue
                    sheet.take(event.value)
                    if time.monotonic() - looked > EVERY:
                        looked = time.monotonic()
                        yield sheet.html("Generating", True), sheet.text, gr.skip()
        except Cancelled:
            pass
        except MmgenError as why:
            yield answer_html.notice(str(why)), "", gr.skip()
            if options["strategy"] == "greedy":  # all three fail alike, and one message in the corner is enough
                with error_toasts():
                    raise
            return
        yield sheet.html(note, False), sheet.text, seed

    def attention(self, which: Strategy, prompt: str, *texts: str) -> Image:
        """The image for one of the three texts with its beginning."""
        text = dict(zip(STRATEGIES, texts, strict=True))[which]
        with error_toasts():
            client = self.text.rt.text(self.text.reference)
            return read_again(client, prompt + text)
