"""text: a beginning goes on."""

from __future__ import annotations

from collections.abc import Iterator

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.params import takes
from mmgen.pipelines.language.text_pipeline import Completion, Prompt, TextPipeline
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams


class TextGeneration(TextPipeline[Completion]):
    """Go on writing from a beginning."""

    last = "completion"

    @takes(TextParams, temperature=0.8, top_p=0.95)
    def stream(self, prompt: str, params: TextParams, *, request: Request | None = None) -> Iterator[Event]:
        """Writes what follows.

        prompt: how the text begins.

        Raises BadRequest for a value out of its range, TooLong for more tokens than the model holds, NotFound for a model that
        is not here, BadWeights for a damaged one.
        """
        if not isinstance(prompt, str) or not prompt:
            raise BadRequest('the prompt is empty; begin the text, such as "Once upon a time"')
        return self.write(lambda client: Prompt(prompt, client.model.encode(prompt)), params, request)
