"""One call of an image pipeline, from its body's options to the answer. Knows no route; it runs in a thread."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from PIL.Image import Image

from mmgen.clients.denoiser import DenoiserClient
from mmgen.clients.image_base import ImageClient
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, NotFound
from mmgen.image_events import Preview
from mmgen.image_params import ControlImage, ImageParams
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.image import control_images, recipe
from mmgen.pipelines.image.image_pipeline import FinishedImage, Images
from mmgen.pipelines.image.recipe import Recipe
from mmgen.serve import uploads
from mmgen.serve.context import Context
from mmgen.serve.model_catalog import name_of
from mmgen.serve.pipeline_calls import ServerEvent
from mmgen.serve.routes.image_schemas import (
    ControlBody,
    Format,
    ImageData,
    ImageOptionsBody,
    ImagesResponse,
    ImageUsage,
    StreamedImageBody,
    TokenDetails,
)

NAMED = 8
"""Sizes that an error names."""


@dataclass(frozen=True)
class ImageCall:
    """`task`: the pipeline; `images`: the image, the mask and the further images that it is given, by its parameters' names."""

    context: Context
    request: Request
    task: str
    options: ImageOptionsBody
    images: Mapping[str, Any]

    def answer(self) -> ImagesResponse:
        """Draws all of it."""
        client, made = self._ready()
        drawn: Images = made(**self._arguments(client), request=self.request)
        data = [self._handed(file, seed) for file, seed in zip(self._kept(drawn), drawn.seeds, strict=True)]
        width, height = drawn.images[0].size
        return ImagesResponse(
            created=int(self.request.created),
            data=data,
            output_format=self.options.output_format,
            size=f"{width}x{height}",
            notes=list(drawn.notes) or None,
            usage=usage(client, drawn.recipes[0].prompt, len(data), (width, height)),
        )

    def events(self, name: str) -> Iterator[ServerEvent]:
        """The same step by step, by events called `name`.partial_image and `name`.completed, as OpenAI has them."""
        assert isinstance(self.options, StreamedImageBody)
        client, made = self._ready()
        arguments, sent = self._arguments(client), [0] * self.options.n
        arguments["preview_every"] = self._preview_every(client)
        for event in made.stream(**arguments, request=self.request):
            if isinstance(event.value, Preview) and sent[event.value.index] < self.options.partial_images:
                more: dict[str, Any] = {"partial_image_index": sent[event.value.index]}
                yield self._message(f"{name}.partial_image", event.value, self._encoded(event.value.image), more)
                sent[event.value.index] += 1
            elif isinstance(event.value, FinishedImage):
                image, made_by = event.value.image, event.value.recipe
                used = usage(client, made_by.prompt, 1, image.size)
                more = {"seed": made_by.seed, **({} if used is None else {"usage": used.model_dump()})}
                yield self._message(f"{name}.completed", event.value, self._encoded(image, made_by), more)
            elif isinstance(event.value, Images):
                self._kept(event.value)

    def _ready(self) -> tuple[ImageClient, Any]:
        """The model, and the pipeline that draws with it."""
        reference = self.context.model(self.options.model, "denoiser")
        client = self.context.rt.denoiser(reference)
        return client, pipeline(self._task(client), runtime=self.context.rt, model=reference)

    def _task(self, client: ImageClient) -> str:
        """A model that follows instructions edits the image that another one would begin with."""
        return "edit" if self.task == "img2img" and client.edits else self.task

    def _arguments(self, client: ImageClient) -> dict[str, Any]:
        options = self.options
        found: dict[str, Any] = {"n": options.n, **options.given(), **self.images}
        if isinstance(options, StreamedImageBody) and (controls := options.controls()):
            found["control"] = [control_image(one, self.context) for one in controls]
        if "reference_image" in found and self._task(client) != "edit":
            raise BadRequest(f"{options.model or client.reference} draws one image anew; give one, as the file image")
        if self._task(client) == "edit":
            if found.pop("strength", None) is not None:
                raise BadRequest(
                    f"{options.model or client.reference} edits by instruction and reads no strength; leave it out"
                )
            found["image_guidance"] = getattr(options, "image_guidance", None)
        elif getattr(options, "image_guidance", None) is not None:
            raise BadRequest("image_guidance is of models that edit by instruction (InstructPix2Pix); leave it out")
        if self.task == "variations":
            if options.pixels not in (None, fit := client.fit(*self.images["image"].size)):
                raise bad_size(options.size, "variations of this image are drawn at", ["{}x{}".format(*fit)])
        elif options.pixels is not None:
            check_size(client, *options.pixels)
            found["width"], found["height"] = options.pixels
        return found

    def _preview_every(self, client: ImageClient) -> int:
        assert isinstance(self.options, StreamedImageBody)
        if not self.options.partial_images:
            return 0
        said = self.options.given()
        steps = client.standard(ImageParams(steps=said.get("steps"), solver=said.get("solver"))).steps or 1
        strength: float = said.get("strength", 1.0)
        return max(1, math.ceil(steps * strength / (self.options.partial_images + 1)))

    def _kept(self, drawn: Images) -> list[bytes]:
        """The images as files, which the history keeps."""
        files = [self._encoded(image, made) for image, made in zip(drawn.images, drawn.recipes, strict=True)]
        asked = self.options.model_dump(mode="json", exclude_defaults=True, exclude={"image", "images", "mask", "control"})
        names = [f"{number}.{self.options.output_format}" for number in range(1, len(files) + 1)]
        self.context.keep(self.request, asked, published(drawn).to_dict(), dict(zip(names, files, strict=True)))
        return files

    def _handed(self, file: bytes, seed: int) -> ImageData:
        if self.options.response_format == "b64_json":
            return ImageData(b64_json=base64.b64encode(file).decode(), seed=seed)
        name = self.context.http.app.state.kept_files.add(self.context.caller.user, file, self.options.output_format)
        return ImageData(url=f"{self.context.http.base_url}v1/files/images/{name}", seed=seed)

    def _message(self, kind: str, event: Preview | FinishedImage, file: bytes, more: Mapping[str, Any]) -> ServerEvent:
        said: dict[str, Any] = {
            "type": kind,
            "b64_json": base64.b64encode(file).decode(),
            "created_at": int(self.request.created),
            "size": "{}x{}".format(*event.image.size),
            "quality": "auto",
            "background": "opaque",
            "output_format": self.options.output_format,
            "index": event.index,
        }
        return ServerEvent(kind, {**said, **more})

    def _encoded(self, image: Image, made: Recipe | None = None) -> bytes:
        return encoded(image, self.options.output_format, self.options.output_compression, made)


def control_image(given: ControlBody, context: Context) -> ControlImage:
    """Opened, for a model that the server knows by name. Raises NotFound for another, UnreadableFile for what is no image."""
    known = control_images.names(context.rt)
    if given.model not in known:
        raise NotFound(f"control model {given.model[:60]!r} is not here; there are {', '.join(known) or 'none'}")
    url = given.image if ":" in given.image else f"data:;base64,{given.image}"
    image = uploads.image_at(url, context.http.app.state.settings)
    return ControlImage(given.model, image, given.scale, given.start, given.end, given.kind)


def encoded(image: Image, kind: Format, quality: int = 100, made: Recipe | None = None) -> bytes:
    """A file's bytes; a PNG carries the recipe."""
    file = io.BytesIO()
    if kind == "png":
        image.save(file, "PNG", pnginfo=None if made is None else recipe.chunks(public(made)))
    else:
        image.save(file, kind.upper(), quality=quality)
    return file.getvalue()


def public(made: Recipe) -> Recipe:
    """With models by their names: where they lie is nobody's business."""
    files: dict[str, Any] = {
        part: tuple(one.model_copy(update={"file": PurePath(one.file).name}) for one in getattr(made, part))
        for part in ("lora", "embedding", "text_encoder")
    }
    files["control"] = tuple(
        one.model_copy(update={name: PurePath(getattr(one, name)).name for name in ("file", "reference", "model")})
        for one in made.control
    )
    for part in ("vae", "upscaler"):
        if (one := getattr(made, part)) is not None:
            files[part] = one.model_copy(update={"file": PurePath(one.file).name})
    return made.model_copy(update={"model": name_of(made.model), **files})


def published(drawn: Images) -> Images:
    return replace(drawn, recipes=[public(one) for one in drawn.recipes])


def check_size(client: ImageClient, width: int, height: int) -> None:
    """Raises BadRequest with the sizes that the model draws; of a model that does not tell them its own error comes later."""
    if not isinstance(client, DenoiserClient):
        return
    try:
        client.model.check_size(width, height)
    except BadRequest:
        names = [f"{side}x{side}" for side in sides(client)]
        raise bad_size(f"{width}x{height}", "this model draws among others", names) from None


def sides(client: DenoiserClient) -> list[int]:
    """Sides of squares that the model draws, around the size that it draws best."""
    found = []
    for half in range(1, NAMED + 1):
        try:
            client.model.check_size(side := client.model.best * half // 2, side)
        except BadRequest:
            continue
        found.append(side)
    return found


def bad_size(asked: str, who: str, names: list[str]) -> BadRequest:
    error = BadRequest(f"size is {asked}; {who} {', '.join(names)}; choose one of them, or auto")
    error.param = "size"  # type: ignore[attr-defined]
    return error


def usage(client: ImageClient, prompt: str, n: int, size: tuple[int, int]) -> ImageUsage | None:
    """None for a model whose latents nobody here knows."""
    if not isinstance(client, DenoiserClient):
        return None
    _, height, width = client.model.latent_shape(*client.model.first_size(*size))
    read, drawn = text_tokens(client.model.text, prompt), n * height * width
    details = TokenDetails(text_tokens=read, image_tokens=0)
    return ImageUsage(input_tokens=read, output_tokens=drawn, total_tokens=read + drawn, input_tokens_details=details)


def text_tokens(side: Any, prompt: str) -> int:
    """What the text side of a model reads; 0 for one that hears nothing."""
    if hasattr(side, "encoder"):
        return len(side.encoder.token_spans(prompt)) + 2
    return len(side.tokenizers[0](prompt)["input_ids"]) if hasattr(side, "tokenizers") else 0
