"""/v1/images: images drawn from words, from images, and from both, as OpenAI's clients ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, UploadFile
from fastapi.responses import FileResponse
from PIL.Image import Image
from starlette.concurrency import run_in_threadpool

from mmgen.errors import BadRequest
from mmgen.image_params import MAX_REFERENCES
from mmgen.serve import pipeline_calls, uploads
from mmgen.serve.context import Context, Here
from mmgen.serve.image_calls import ImageCall
from mmgen.serve.routes.image_schemas import (
    ImageEditBody,
    ImageGenerationBody,
    ImageOptionsBody,
    ImagesResponse,
    ImageVariationBody,
    StreamedImageBody,
)

router = APIRouter(tags=["images"])
MULTIPART = "multipart/form-data"
ANSWER: dict[str, Any] = {"response_model": ImagesResponse, "response_model_exclude_none": True}
"""`stream` answers with events instead."""


@router.post("/v1/images/generations", **ANSWER)
async def generate(body: ImageGenerationBody, context: Here) -> Any:
    """Draws images from words."""
    return await drawn(context, "txt2img", body, {}, "image_generation")


@router.post("/v1/images/edits", **ANSWER)
async def edit(body: Annotated[ImageEditBody, Form(media_type=MULTIPART)], context: Here) -> Any:
    """Draws an image anew, or only what is transparent in it or in its mask; or edits it by what others show."""
    files = [*body.image, *body.images]
    if not 1 <= len(files) <= 1 + MAX_REFERENCES:
        raise BadRequest(f"there are {len(files)} images; give 1 to {1 + MAX_REFERENCES}, as files called image")
    image, *further = [await image_of(one, context) for one in files]
    mask = transparent(image) if body.mask is None else drawn_anew(await image_of(body.mask, context))
    if mask is not None and further:
        said = "parts of the first image are transparent, which" if body.mask is None else "a mask"
        raise BadRequest(f"{said} says what of one image is drawn anew; fill them, leave the mask out, or give one image")
    if mask is None:
        more = {"reference_image": further} if further else {}
        return await drawn(context, "img2img", body, {"image": image, **more}, "image_edit")
    return await drawn(context, "inpaint", body, {"image": image, "mask": mask}, "image_edit")


@router.post("/v1/images/variations", **ANSWER)
async def vary(body: Annotated[ImageVariationBody, Form(media_type=MULTIPART)], context: Here) -> Any:
    """Draws images that are like an image."""
    return await drawn(context, "variations", body, {"image": await image_of(body.image, context)})


@router.get("/v1/files/images/{name}", response_class=FileResponse)
def kept(name: str, context: Here) -> FileResponse:
    """An image that was asked for as a URL, for the same caller, within an hour."""
    context.caller.check("images")
    return FileResponse(context.http.app.state.kept_files.path(context.caller.user, name))


async def drawn(context: Context, task: str, body: ImageOptionsBody, images: Mapping[str, Any], events: str = "") -> Any:
    request = context.begin(task, "images")
    drawing = ImageCall(context, request, task, body, images)
    if isinstance(body, StreamedImageBody) and body.stream:
        return await pipeline_calls.stream(context, request, lambda: drawing.events(events), done=False)
    return await pipeline_calls.run(context, request, drawing.answer)


async def image_of(upload: UploadFile, context: Context) -> Image:
    """Raises UnreadableFile for what is none, whatever its name says."""
    context.caller.check("images")
    data = await uploads.data_of(upload, context.http.app.state.settings.max_body)
    return await run_in_threadpool(uploads.image, data)


def drawn_anew(mask: Image) -> Image:
    """White where the mask is transparent, as the pipelines want it. Raises BadRequest for a mask without transparency."""
    found = transparent(mask)
    if found is None:
        raise BadRequest("the mask has no transparent pixels; make transparent what to draw anew")
    return found


def transparent(image: Image) -> Image | None:
    """White where the image is wholly transparent; None where it is so nowhere."""
    if not image.has_transparency_data:
        return None
    clear = image.convert("RGBA").getchannel("A").point(lambda alpha: 255 if alpha == 0 else 0)
    return clear if clear.getbbox() else None
