"""The tools images, draw and edit: images of a store found, images drawn, and the conversation's last image drawn over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest
from mmgen.pipelines.agent import request_words
from mmgen.pipelines.agent.tool import AssistantCall, AssistantTool, ShownImage, ToolProgress, ToolResult, TurnContext
from mmgen.pipelines.image_search import ImageSearch
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.streaming import Event
from mmgen.pipelines.txt2img import Txt2Img

if TYPE_CHECKING:
    from mmgen.runtime import Runtime

FOUND = 4  # images of a search
FLOORS = {"embedded:emoji-clip": 0.25}
"""Cosine below which an image shows something else, of encoders for which it is measured."""
STRENGTH = 0.7


class ImageSearchTool(AssistantTool):
    name = "images"
    description = "Finds images in the user's collection and shows them."
    acts = False
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "what the images show"}},
        "required": ["query"],
    }

    def __init__(self, search: ImageSearch) -> None:
        self.search = search

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        return {"query": request_words.to_find(turn.said)}

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        query = str(call.arguments.get("query", ""))
        hits = self.search(query, k=FOUND, request=turn.request)
        store = self.search.gallery.filled()
        floor = FLOORS.get(store.encoder, -1.0)
        near = [hit for hit in hits if hit.scores.get("text", 1.0) >= floor or hit.scores.get("caption")]
        images = [ShownImage.of(store.look(hit.image_id)[2], str(hit), caption=hit.caption or str(hit)) for hit in near]
        if images:
            told = (
                f"{len(images)} images that fit {query!r} best." if len(images) > 1 else f"The image that fits {query!r} best."
            )
        else:
            told = f"No image in the store shows {query!r}."
        yield ToolResult(told, answer=told, text=told, images=images)

    def close(self) -> None:
        self.search.close()


class DrawTool(AssistantTool):
    name = "draw"
    description = "Draws a new image from a description."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {"prompt": {"type": "string", "description": "what the image shows"}},
        "required": ["prompt"],
    }

    def __init__(self, rt: Runtime, model: str | None) -> None:
        self.pipeline = Txt2Img(rt, model=model)

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        return {"prompt": request_words.to_draw(turn.said, turn.prompt)}

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        prompt = str(call.arguments.get("prompt", ""))
        events = self.pipeline.stream(prompt, request=turn.request)
        yield from drawn(call, prompt, events, f"Here it is: {prompt}.")


class EditTool(AssistantTool):
    name = "edit"
    description = "Changes the last image of the conversation."
    parameters: Mapping[str, Any] = {
        "type": "object",
        "properties": {
            "prompt": {"type": "string", "description": "what the image shows after the change"},
            "strength": {"type": "number", "minimum": 0.1, "maximum": 1, "description": "how much may change"},
        },
        "required": ["prompt"],
    }

    def __init__(self, rt: Runtime, model: str | None) -> None:
        self.pipeline = Img2Img(rt, model=model)

    def proposed(self, turn: TurnContext) -> dict[str, Any] | None:
        return {"prompt": request_words.to_edit(turn.said, turn.prompt), "strength": STRENGTH}

    def run(self, call: AssistantCall, turn: TurnContext) -> Iterator[Event | ToolResult]:
        if turn.image is None:
            raise BadRequest("there is no image in this conversation to change; draw one, or attach one, first")
        prompt, strength = str(call.arguments.get("prompt", "")), float(call.arguments.get("strength", STRENGTH))
        events = self.pipeline.stream(turn.image, prompt, strength=strength, request=turn.request)
        yield from drawn(call, prompt, events, f"The image again, drawn over as: {prompt}.")


def drawn(call: AssistantCall, prompt: str, events: Iterator[Event], told: str) -> Iterator[Event | ToolResult]:
    """An image pipeline's events as a tool's."""
    images: list[ShownImage] = []
    for event in events:
        if event.kind == "step":
            yield Event("progress", ToolProgress(call.id, "Drawing", event.value.step, event.value.of))
        elif event.kind == "image":
            image = ShownImage.of(event.value.png(), f"image-{event.value.seed}.png", prompt=prompt, seed=event.value.seed)
            images.append(replace(image, caption=prompt))
    seeds = ", ".join(str(image.seed) for image in images)
    yield ToolResult(f"{prompt!r}, seed {seeds}", answer=told, text=told, images=images)
