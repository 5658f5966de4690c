"""Bodies of the image routes, as OpenAI has them and with what our models can be told besides: ImageParams' fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, create_model, model_validator

from mmgen import image_params
from mmgen.errors import BadRequest
from mmgen.params import ParamInfo, infos
from mmgen.pipelines import signature
from mmgen.pipelines.image.image_pipeline import ImagePipeline
from mmgen.pipelines.img2img import Img2Img
from mmgen.pipelines.txt2img import Txt2Img
from mmgen.pipelines.variations import Variations
from mmgen.serve.pipeline_schema import limits

Format = Literal["png", "jpeg", "webp"]
MOST_IMAGES = 10
LARGEST_SEED = 2**53
"""As a JSON number that every client reads exactly."""
MOST = {"seed": LARGEST_SEED, "guidance": 100}
"""Where the network takes less than ImageParams."""
NAMES = {"negative": "negative_prompt"}
"""Options under another name here."""
OTHERWISE = frozenset(
    {
        "image",
        "mask",
        "reference_image",
        "n",
        "best_of",
        "width",
        "height",
        "x",
        "y",
        "preview_every",
        "control",
        "image_prompt",
    }
)
"""Options that these routes have in OpenAI's form (files, n, size, partial_images), or that multiply what a call may cost."""
B = TypeVar("B", bound="ImageOptionsBody")


class ImageOptionsBody(BaseModel):
    """What every image route takes."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = Field(default=None, description="As /v1/models lists it; without it the server's own.")
    n: int = Field(default=1, ge=1, le=MOST_IMAGES, description="How many; they take the seed and its successors.")
    size: Annotated[str, StringConstraints(pattern=r"^(auto|\d{1,5}x\d{1,5})$")] = Field(
        default="auto", description="WIDTHxHEIGHT in pixels, as the model can draw it."
    )
    response_format: Literal["b64_json", "url"] = Field(
        default="b64_json", description="url: kept for an hour, for the same caller."
    )
    output_format: Format = Field(default="png", description="A PNG carries its recipe.")
    output_compression: int = Field(default=100, ge=0, le=100, description="Quality of JPEG and WebP.")
    background: Literal["auto", "opaque"] = "auto"
    quality: Literal["auto", "low", "medium", "high", "standard", "hd", "xhigh", "max"] = Field(
        default="auto", description="Read and passed over; see steps."
    )
    user: str | None = Field(default=None, description="Read and passed over: the key says who calls.")
    options: ClassVar[dict[str, str]] = {}  # of ImageParams -> the field here

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height; None: the model's own."""
        width, _, height = self.size.partition("x")
        return None if self.size == "auto" else (int(width), int(height))

    def given(self) -> dict[str, Any]:
        """What was said, as the pipeline calls it."""
        found = {name: getattr(self, field) for name, field in self.options.items()}
        return {name: value for name, value in found.items() if value is not None}


class ControlBody(BaseModel):
    """An image that controls where things stand, or what they look like."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str = Field(max_length=200, description="A name that the server knows: of its configuration or its home directory.")
    image: str = Field(description="A data: URL, or base64.")
    scale: float = Field(1.0, ge=0, le=image_params.MAX_CONTROL_SCALE)
    start: float = Field(0.0, ge=0, le=1, description="From that share of the steps on.")
    end: float = Field(1.0, ge=0, le=1, description="Up to that share.")
    kind: Literal["", "canny", "raw"] = Field(
        "", description="canny: its edges are found here; raw: it is a map already; without it as the model's name says."
    )


Controls = Annotated[list[ControlBody], Field(max_length=image_params.MAX_CONTROLS)]


def takes(pipeline: type[ImagePipeline]) -> Callable[[type[B]], type[B]]:
    """Gives a body a field for every option of the pipeline's call that has no other form here."""

    def complete(body: type[B]) -> type[B]:
        described = signature.read(pipeline.task, pipeline)
        known = infos(image_params.ImageParams)
        taken = {one.name: one for one in described.parameters if one.name in known and one.name not in OTHERWISE}
        fields: Any = {
            NAMES.get(name, name): _field(name, known[name], one.annotation, one.required, one.help)
            for name, one in taken.items()
        }
        made = create_model(body.__name__, __base__=body, __doc__=body.__doc__, __module__=body.__module__, **fields)
        made.options = {name: NAMES.get(name, name) for name in taken}
        return made

    return complete


def _field(name: str, info: ParamInfo, annotation: Any, required: bool, help: str) -> Any:
    """What is left out has the pipeline's default."""
    (kind,) = {one for one in signature.alternatives(annotation) if one in (bool, int, float, str)}
    said = {"description": help[:1].upper() + help[1:], **limits(info), **({"le": MOST[name]} if name in MOST else {})}
    return (kind, Field(**said)) if required else (kind | None, Field(None, **said))


class StreamedImageBody(ImageOptionsBody):
    """Options of the routes that stream."""

    stream: bool = Field(default=False, description="Events instead of one answer.")
    partial_images: int = Field(default=0, ge=0, le=3, description="Unfinished images to send while one is drawn.")
    moderation: Literal["auto", "low"] = Field(default="auto", description="Read and passed over.")

    def controls(self) -> list[ControlBody]:
        """Raises BadRequest for what is none."""
        return []


@takes(Txt2Img)
class ImageGenerationBody(StreamedImageBody):
    """POST /v1/images/generations"""

    control: Controls = Field(default_factory=list, description="Images that control it: ControlNet and its kin.")

    def controls(self) -> list[ControlBody]:
        return self.control


@takes(Img2Img)
class ImageEditBody(StreamedImageBody):
    """POST /v1/images/edits"""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    image: list[UploadFile] = Field(
        default_factory=list,
        description="The image; PNG, JPEG, WebP and more. Several are what an instruction calls Picture 1, Picture 2 ...",
    )
    images: list[UploadFile] = Field(default_factory=list, alias="image[]", description="The same, as some clients call it.")
    mask: UploadFile | None = Field(
        default=None, description="Of the same size: what is transparent is drawn anew. Without it the image's own "
        "transparent places, or where it has none all of it.",
    )  # fmt: skip
    input_fidelity: Literal["high", "low"] = Field(default="low", description="Read and passed over; see strength.")
    image_guidance: float | None = Field(
        None, ge=1, le=100, description="Of InstructPix2Pix: how closely to keep to the image."
    )
    control: list[str] = Field(
        default_factory=list, max_length=image_params.MAX_CONTROLS,
        description="JSON of an object each, as /v1/images/generations takes them.",
    )  # fmt: skip

    def controls(self) -> list[ControlBody]:
        try:
            return [ControlBody.model_validate_json(one) for one in self.control]
        except ValidationError as why:
            first = why.errors()[0]
            where = ".".join(map(str, first["loc"])) or "control"
            raise BadRequest(
                f"control is no JSON of a control image ({where}: {first['msg']}); see /v1/images/generations"
            ) from None


@takes(Variations)
class ImageVariationBody(ImageOptionsBody):
    """POST /v1/images/variations"""

    image: UploadFile = Field(description="A PNG of mmgen's own tells by its recipe what it shows.")


class TokenDetails(BaseModel):
    text_tokens: int
    image_tokens: int


class ImageUsage(BaseModel):
    """Text tokens are the prompt's, image tokens the places of the latents: what the model works on."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: TokenDetails


class ImageData(BaseModel):
    b64_json: str | None = None
    url: str | None = None
    seed: int = Field(description="Draws it again.")


class ImagesResponse(BaseModel):
    created: int = Field(description="Seconds since 1970.")
    data: list[ImageData]
    background: Literal["opaque"] = "opaque"
    output_format: Format
    size: str
    notes: list[str] | None = Field(None, description="What was done otherwise than the call's words say.")
    usage: ImageUsage | None = None
