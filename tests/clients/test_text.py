"""Text clients: loaded once, with room for keys and values as the configuration says."""

from pathlib import Path

import pytest
from text_requests import text_request

from mmgen.clients.text import CONTEXTS, memory_for
from mmgen.config import RuntimeConfig
from mmgen.engine.job import Request
from mmgen.errors import BadRequest, Cancelled
from mmgen.runners.generation import GenerationResult, TextPiece
from mmgen.runtime import Runtime
from mmgen.text_params import Sampling


def test_a_model_is_loaded_once_a_draft(writer: Runtime, tiny_llama: Path, tiny_draft: Path) -> None:
    plain = writer.text()
    assert writer.text(str(tiny_llama)) is plain
    drafted = writer.text(draft=str(tiny_draft))
    assert drafted is not plain and drafted.drafts and not plain.drafts
    assert plain.runner != drafted.runner


def test_pieces_then_the_end(writer: Runtime) -> None:
    client = writer.text()
    *pieces, end = client.write(text_request(client.model.encode("the"), 8, Sampling(temperature=0)), Request.new(), 1)
    assert isinstance(end, GenerationResult)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == end.texts[0].text


def test_leaving_early_cancels(writer: Runtime) -> None:
    client, request = writer.text(), Request.new()
    events = client.write(text_request([5], 400, ends=frozenset()), request, 1)
    next(events)
    events.close()
    assert request.cancelled
    with pytest.raises(Cancelled):
        list(client.write(text_request([5], 4), request, 1))


def test_half_of_a_memory_limit_is_for_keys_and_values(tiny_llama: Path) -> None:
    with Runtime(RuntimeConfig(device="cpu", text=str(tiny_llama), memory_limit=10**6)) as rt:
        client = rt.text()
        assert memory_for(rt, client.model) == 500_000
    with Runtime(RuntimeConfig(device="cpu", text=str(tiny_llama))) as rt:
        model = rt.text().model
        assert memory_for(rt, model) == CONTEXTS * 512 * model.lm.kv_bytes_per_token  # there is more than a tiny model can use


def test_a_precision_and_what_is_none(writer: Runtime, tiny_llama: Path) -> None:
    import torch

    from mmgen.models.quantization import bf16_blocks, block_matrix

    client = writer.text(f"{tiny_llama}#bf16")
    words = client.model.lm.transformer.embed.words
    if bf16_blocks.available():
        assert words.matrix.planes == block_matrix.BF16
    else:
        assert words.weight.dtype == torch.bfloat16
    *_, end = client.write(text_request(client.model.encode("the way"), 8, Sampling(temperature=0), n=2), Request.new(), 1)
    assert isinstance(end, GenerationResult) and end.texts[0].ids
    with pytest.raises(BadRequest, match=r"^precision 'fp1' is unknown"):
        writer.text(f"{tiny_llama}#fp1")


def test_int8(writer: Runtime, tiny_llama: Path) -> None:
    client = writer.text(f"{tiny_llama}#int8")
    *_, end = client.write(text_request(client.model.encode("the way"), 8, Sampling(temperature=0)), Request.new(), 1)
    assert isinstance(end, GenerationResult) and end.texts[0].ids
