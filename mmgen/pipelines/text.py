"""text: a beginning goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmgen.engine.job import Request
from mmgen.errors import BadRequest
from mmgen.params import takes
from mmgen.pipelines.language.text_pipeline import Completion, Prompt, TextPipeline
from mmgen.pipelines.streaming import Event
from mmgen.text_params import TextParams

if TYPE_CHECKING:
    from mmgen.clients.text import TextClient


class TextGeneration(TextPipeline[Completion]):
    """Go on writing from a beginning."""

    last, stand_in = "completion", "embedded:books"

    @takes(TextParams, temperature=0.8, top_p=0.95)
    def stream(
        self,
        prompt: str,
        params: TextParams,
        *,
        source_lang: str | None = None,
        target_lang: str | None = None,
        request: Request | None = None,
    ) -> Iterator[Event]:
        """Writes what follows.

        prompt: how the text begins; to an encoder-decoder, what it is to translate or to sum up.
        source_lang: of a translation model that knows languages by tokens: which one it reads, such as eng_Latn, en_XX or en.
        target_lang: and which one it writes.

        Raises BadRequest for a value out of its range, TooLong for more tokens than the model holds, NotFound for a model that
        is not here, BadWeights for a damaged one.
        """
        if not isinstance(prompt, str) or not prompt:
            raise BadRequest('the prompt is empty; begin the text, such as "Once upon a time"')
        return self.write(lambda client: _read(client, prompt, source_lang, target_lang), params, request)


def _read(client: TextClient, prompt: str, source_lang: str | None, target_lang: str | None) -> Prompt:
    """As the model reads it. Raises BadRequest for a language that it has no token for."""
    client.model.check_length(prompt)
    ids, codes = client.model.encode(prompt), client.languages
    if source_lang is not None:
        ids = codes.from_language(ids, source_lang)
    if target_lang is None:
        return Prompt(prompt, ids)
    target = codes.id(target_lang)
    if not client.own_cache or client.model.lm.encoder is None:
        raise BadRequest(f"{client.name} is no translation model; leave out the target language {target_lang!r}")
    if client.model.start_id in codes.ids.values():
        return Prompt(prompt, ids, start=target)
    return Prompt(prompt, ids, first=target)
