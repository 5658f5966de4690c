"""What a language model is made of and what happens in it, as figures and images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest, TooLong

if TYPE_CHECKING:
    from PIL import Image

    from mmgen.clients.text import TextClient

MOST = 64
"""Tokens of a prompt that is drawn."""


def described(client: TextClient, context: int) -> dict[str, Any]:
    """Parts, parameters and bytes of a model, and where its layers are ours the cost of a token behind `context` others."""
    from mmgen.models.lm.interpretation.structure import forward_flops, parts
    from mmgen.models.lm.language_model import LanguageModel

    lm = client.model.lm
    found = parts(lm)
    ours = isinstance(lm, LanguageModel)
    return {
        "model": client.reference,
        "parts": [vars(one) for one in found],
        "parameters": sum(one.parameters for one in found),
        "bytes": sum(one.bytes for one in found),
        "context": context,
        "kv_bytes_per_token": lm.kv_bytes_per_token if ours else None,
        "flops_per_token": forward_flops(lm.config, context) if ours else None,
    }


def diagram_of(client: TextClient) -> str:
    """The SVG of its blocks. Raises BadRequest for a model whose layers are not ours."""
    from mmgen.pipelines.language.architecture_diagram import diagram

    return diagram(_ours(client).config, client.name)


def lens_image(client: TextClient, text: str) -> Image.Image:
    """The likeliest next token behind every layer, and how likely. Raises BadRequest, TooLong."""
    import torch

    from mmgen.models.lm.interpretation.logit_lens import logit_lens
    from mmgen.pipelines.language.token_grid import grid_image

    lm, ids = _ours(client), _ids(client, text)
    found = client.host.engine.call_with(client.runner, lambda: logit_lens(lm, torch.tensor(ids, device=lm.device)))
    words = [[client.model.tokenizer.decode([token]) for token in row] for row in found.tokens.tolist()]
    rows = ["words", *(f"layer {number + 1}" for number in range(len(words) - 1))]
    return grid_image(found.probabilities.numpy(), _words(client, ids), rows, words)


def patching_image(client: TextClient, prompts: tuple[str, str], answers: tuple[str, str]) -> Image.Image:
    """Which states carry the difference between two prompts. Raises BadRequest where they cannot be compared, TooLong."""
    import torch

    from mmgen.models.lm.interpretation.activation_patching import patched
    from mmgen.pipelines.language.token_grid import grid_image

    lm, clean, corrupted = _ours(client), *(_ids(client, prompt) for prompt in prompts)
    first = [client.model.tokenizer.encode(answer).ids[0] for answer in answers]
    if first[0] == first[1]:
        raise BadRequest(f"the answers {answers[0]!r} and {answers[1]!r} begin with the same token; take others")
    ids = [torch.tensor(one, device=lm.device) for one in (clean, corrupted)]
    found = client.host.engine.call_with(client.runner, lambda: patched(lm, ids[0], ids[1], first[0], first[1]))
    rows = [f"layer {number + 1}" for number in range(len(found))]
    shares = [[f"{share + 0.0:.2f}".replace("-0.00", "0.00") for share in row] for row in found.tolist()]
    return grid_image(found.clamp(0, 1).numpy(), _words(client, corrupted), rows, shares)


def _ours(client: TextClient) -> Any:
    from mmgen.models.lm.language_model import LanguageModel

    lm = client.model.lm
    if not isinstance(lm, LanguageModel) or lm.encoder is not None:
        raise BadRequest(f"{client.name} is not looked into; take a decoder whose layers are ours, such as embedded:smollm2")
    return lm


def _ids(client: TextClient, text: str) -> list[int]:
    ids = client.model.encode(text)
    if len(ids) > MOST:
        raise TooLong(f"the prompt is {len(ids)} tokens; {MOST} are drawn at most, shorten it")
    return ids


def _words(client: TextClient, ids: list[int]) -> list[str]:
    return [client.model.tokenizer.decode([token]) for token in ids]
