"""Bodies of the image routes, as OpenAI has them and with what our models can be told besides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import UploadFile
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Format = Literal["png", "jpeg", "webp"]
MOST_IMAGES = 10
LARGEST_SEED = 2**53
"""As a JSON number that every client reads exactly."""
Words = Annotated[str, StringConstraints(max_length=5000)]


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
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED, description="The same seed draws the same image.")
    steps: int | None = Field(default=None, ge=1, le=1000, description="The model's own without it.")
    guidance: float | None = Field(default=None, ge=0, le=100, description="How closely to follow the prompt.")
    solver: str | None = Field(
        default=None, description="ddpm, ddim, euler, euler-a, heun, dpm++2m, dpm++2m-karras, unipc, lcm."
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        return {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else given

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height; None: the model's own."""
        width, _, height = self.size.partition("x")
        return None if self.size == "auto" else (int(width), int(height))


class StreamedImageBody(ImageOptionsBody):
    """Options of the routes that stream."""

    negative_prompt: Words = ""
    stream: bool = Field(default=False, description="Events instead of one answer.")
    partial_images: int = Field(default=0, ge=0, le=3, description="Unfinished images to send while one is drawn.")
    moderation: Literal["auto", "low"] = Field(default="auto", description="Read and passed over.")


class ImageGenerationBody(StreamedImageBody):
    """POST /v1/images/generations"""

    prompt: Words
    style: str | None = Field(default=None, description="A word for the style, such as flat.")


class ImageEditBody(StreamedImageBody):
    """POST /v1/images/edits"""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    prompt: Words
    image: list[UploadFile] = Field(default_factory=list, description="The image; PNG, JPEG, WebP and more.")
    images: list[UploadFile] = Field(default_factory=list, alias="image[]", description="The same, as some clients call it.")
    mask: UploadFile | None = Field(
        default=None, description="Of the same size: what is transparent is drawn anew. Without it the image's own "
        "transparent places, or where it has none all of it.",
    )  # fmt: skip
    strength: float | None = Field(default=None, gt=0, le=1, description="How far from what is there.")
    input_fidelity: Literal["high", "low"] = Field(default="low", description="Read and passed over; see strength.")


class ImageVariationBody(ImageOptionsBody):
    """POST /v1/images/variations"""

    image: UploadFile = Field(description="A PNG of mmgen's own tells by its recipe what it shows.")
    prompt: Words | None = Field(default=None, description="What it shows.")
    strength: float | None = Field(default=None, gt=0, le=1, description="How unlike.")


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
    usage: ImageUsage | None = None
