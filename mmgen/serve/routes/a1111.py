"""/sdapi/v1: images as clients of AUTOMATIC1111's web UI ask for them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from PIL import ImageOps
from PIL.Image import Image
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled
from mmgen.image_params import SAMPLERS
from mmgen.pipelines.factory import pipeline
from mmgen.pipelines.image import control_images
from mmgen.pipelines.image.image_pipeline import FinishedImage, Images
from mmgen.serve import pipeline_calls, serialization, uploads
from mmgen.serve.context import Context, Here
from mmgen.serve.dialects import a1111_images
from mmgen.serve.dialects.a1111_images import DrawingBody, Img2ImgBody, Txt2ImgBody
from mmgen.serve.dialects.drawings import Drawings
from mmgen.serve.dialects.json_lines import described, reader
from mmgen.serve.image_calls import check_size, control_image, encoded, published
from mmgen.serve.model_catalog import ServedModel

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
controlnet = APIRouter(prefix="/controlnet", tags=["a1111"])
PREVIEW_EVERY = 4
"""Steps between two images that /progress can show."""
BODIES = (Txt2ImgBody, Img2ImgBody)


class DrawnResponse(BaseModel):
    images: list[str]  # PNGs in base64, each with its recipe
    parameters: dict[str, Any]
    info: str


@router.post("/txt2img", openapi_extra=described(Txt2ImgBody))
async def txt2img(body: Annotated[Txt2ImgBody, Depends(reader(Txt2ImgBody))], context: Here) -> DrawnResponse:
    """Draws images from words."""
    return await drawn(context, "txt2img", body, {})


@router.post("/img2img", openapi_extra=described(Img2ImgBody))
async def img2img(body: Annotated[Img2ImgBody, Depends(reader(Img2ImgBody))], context: Here) -> DrawnResponse:
    """Draws an image anew, or what its mask shows white."""
    context.caller.check("images")
    images = {"image": await run_in_threadpool(image_of, context, body.init_images[0])}
    if body.mask is None:
        return await drawn(context, "img2img", body, images)
    mask = (await run_in_threadpool(image_of, context, body.mask)).convert("L")
    images["mask"] = ImageOps.invert(mask) if body.inpainting_mask_invert else mask
    return await drawn(context, "inpaint", body, images)


@router.get("/progress")
def progress(context: Here, skip_current_image: bool = False) -> dict[str, Any]:
    """Of the caller's oldest drawing that is under way."""
    found = _drawings(context).of(context.caller.user)
    if not found:
        state = {"skipped": False, "interrupted": False, "job": "", "job_count": 0, "job_no": 0, "job_timestamp": "0",
                 "sampling_step": 0, "sampling_steps": 0}  # fmt: skip
        return {"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}
    first = found[0]
    image = None if skip_current_image else _seen(first.image)
    state = {
        "skipped": False, "interrupted": first.interrupted, "job": first.request.id, "job_count": first.images,
        "job_no": int(first.done), "job_timestamp": str(int(first.began)), "sampling_step": first.step,
        "sampling_steps": first.steps,
    }  # fmt: skip
    shown = None if image is None else base64.b64encode(encoded(image, "png")).decode()
    return {
        "progress": first.progress, "eta_relative": first.eta, "state": state, "current_image": shown, "textinfo": None
    }  # fmt: skip


@router.post("/interrupt")
def interrupt(context: Here) -> dict[str, Any]:
    """Ends the caller's drawings; those that wait for them get the images that are whole."""
    for drawing in _drawings(context).of(context.caller.user):
        drawing.interrupted = True
        drawing.request.cancel()
    return {}


@router.get("/options")
def options(context: Here) -> dict[str, Any]:
    """What can be set: the model."""
    return {"sd_model_checkpoint": _model(context).id, "samples_format": "png"}


@router.post("/options")
async def set_options(body: dict[str, Any], context: Here) -> None:
    """Chooses the caller's model for calls that name none."""
    context.caller.check("images")
    if other := body.keys() - {"sd_model_checkpoint", "samples_format"}:
        raise BadRequest(f"{sorted(other)[0][:60]} is no option of this server; sd_model_checkpoint is")
    if body.get("samples_format", "png") != "png":
        raise BadRequest(f"samples_format is {str(body['samples_format'])[:20]!r}; images are png here")
    if (name := body.get("sd_model_checkpoint")) is not None:
        context.model(str(name), "denoiser")
        _drawings(context).choose(context.caller.user, str(name))


@router.get("/sd-models")
def models(context: Here) -> list[dict[str, Any]]:
    """The models that draw."""
    served = [one for one in context.http.app.state.catalog.served() if one.kind == "denoiser"]
    return [
        {"title": one.id, "model_name": one.id, "hash": None, "sha256": None, "filename": one.id, "config": None}
        for one in served
    ]  # fmt: skip


@router.get("/samplers")
async def samplers(context: Here) -> list[dict[str, Any]]:
    return [{"name": name, "aliases": [solver], "options": {}} for solver, name in SAMPLERS.items()]


@router.get("/schedulers")
async def schedulers(context: Here) -> list[dict[str, Any]]:
    """The samplers' own, and Karras where there is a sampler with it."""
    return [{"name": name, "label": name.title(), "aliases": None} for name in ("automatic", "karras")]


@controlnet.get("/model_list")
def control_models(context: Here) -> dict[str, list[str]]:
    """Names of the control models, as the extension's API lists them."""
    context.caller.check("images")
    return {"model_list": control_images.names(context.rt)}


@controlnet.get("/module_list")
async def control_modules(context: Here) -> dict[str, Any]:
    """Preprocessors."""
    return {"module_list": ["none", "canny"], "module_detail": {}}


async def drawn(context: Context, task: str, body: DrawingBody, images: Mapping[str, Image]) -> DrawnResponse:
    arguments, controls = {**body.given(), **images}, body.controls()
    if controls:
        context.caller.check("images")
        arguments["control"] = await run_in_threadpool(lambda: [control_image(one, context) for one in controls])
    model = body.checkpoint or _drawings(context).model(context.caller.user)
    reference = context.model(model, "denoiser")
    request = context.begin(task, "images")
    return await pipeline_calls.run(context, request, lambda: _draw(context, request, task, reference, body, arguments))


def _draw(
    context: Context, request: Request, task: str, reference: str, body: DrawingBody, arguments: dict[str, Any]
) -> DrawnResponse:
    """Blocks until it is drawn, or interrupted: then the images that are whole are the answer."""
    if "width" in arguments and "height" in arguments:
        check_size(context.rt.denoiser(reference), arguments["width"], arguments["height"])
    made, drawings, user = pipeline(task, runtime=context.rt, model=reference), _drawings(context), context.caller.user
    drawing = drawings.begin(user, request, body.n)
    whole: dict[int, FinishedImage] = {}
    result: Images | None = None
    try:
        for event in made.stream(**arguments, preview_every=PREVIEW_EVERY, request=request):
            drawing.add(event.value)
            if isinstance(event.value, FinishedImage):
                whole[event.value.index] = event.value
            elif isinstance(event.value, Images):
                result = event.value
    except Cancelled:
        if not drawing.interrupted:
            raise
    finally:
        drawings.end(user, drawing)
    if result is not None:
        asked = body.model_dump(exclude_defaults=True, exclude={"init_images", "mask", "alwayson_scripts"})
        files = serialization.files(result)
        names = {f"{number}.png": file for number, file in enumerate(files, 1)}
        context.keep(request, asked, published(result).to_dict(), names)
    else:
        files = [encoded(one.image, "png", made=one.recipe) for _, one in sorted(whole.items())]
    said = body.model_dump(exclude={"init_images", "mask", "alwayson_scripts"})
    sent = [base64.b64encode(file).decode() for file in files] if body.send_images else []
    return DrawnResponse(images=sent, parameters=said, info="{}" if result is None else a1111_images.info(result))


def image_of(context: Context, text: str) -> Image:
    """A data: URL, or base64. Raises BadRequest and UnreadableFile."""
    url = text if text.startswith("data:") else f"data:;base64,{text}"
    return uploads.image_at(url, context.http.app.state.settings)


def _seen(look: Any) -> Image | None:
    try:
        found: Image | None = look()
    except Cancelled:
        return None
    return found


def _model(context: Context) -> ServedModel:
    context.caller.check("images")
    catalog = context.http.app.state.catalog
    chosen = _drawings(context).model(context.caller.user)
    if chosen is not None:
        found: ServedModel = catalog.get(chosen)
        return found
    default = catalog.defaults["denoiser"]
    return next((one for one in catalog.served() if one.reference == default), ServedModel("", default, "denoiser"))


def _drawings(context: Context) -> Drawings:
    context.caller.check("images")
    found: Drawings = context.http.app.state.drawings
    return found
