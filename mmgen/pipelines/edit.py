"""edit: an image changed as an instruction says."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmgen.errors import BadRequest
from mmgen.pipelines.image.image_pipeline import ImagePipeline

if TYPE_CHECKING:
    from mmgen.clients.image_base import ImageClient


class Edit(ImagePipeline):
    """Edit an image as an instruction says, such as "make it winter"."""

    task = "edit"
    required = ("image", "prompt")
    omitted = ("only_masked", "mask", "strength", "best_of")
    helps: ClassVar[dict[str, str]] = {"image": "the image.", "prompt": "what to change."}

    def suit(self, client: ImageClient) -> None:
        """Raises BadRequest for a model that cannot follow instructions."""
        if not client.edits:
            raise BadRequest(
                f"{client.reference} follows no instructions; take InstructPix2Pix, FLUX.1 Kontext or Qwen-Image-Edit, or "
                "draw the image anew with img2img"
            )
