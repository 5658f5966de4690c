"""Each loss by hand, over states that are made up."""

from types import SimpleNamespace

import pytest
import torch

from mmgen.models.reader.span_adapter import SpanAdapter
from mmgen.models.reader.span_heads import SpanHeads
from mmgen.training.feedback.fit import AdapterSettings, StateRow, _divergence, _length, _loss, _starts, _tokens, fit


def made(first: int, wrong: bool = False) -> StateRow:
    torch.manual_seed(first)
    allowed = torch.tensor([True, False, True, True, True, False])
    ends = torch.tensor([False, True] if first else [], dtype=torch.bool)
    return StateRow(torch.randn(6, 8), torch.randn(3 if first else 1, 8), allowed, first, ends, wrong)


@torch.no_grad()
def test_a_span_is_what_the_reader_gives_it() -> None:
    torch.manual_seed(0)
    heads, adapter, row = SpanHeads(8), SpanAdapter(8, 2), made(2)
    starts = _starts(heads, adapter, [row])[0]
    stops = heads.stops(row.prefix[2:4], row.states[1:])
    wanted = starts[2] + torch.sigmoid(stops[1]).log()  # no span ends within the first word
    assert float(_loss(heads, adapter, [row])[0]) == pytest.approx(-float(wanted), abs=1e-5)
    assert float(_loss(heads, adapter, [made(0)])[0]) == pytest.approx(-float(_starts(heads, adapter, [made(0)])[0, 0]))
    unlike = _loss(heads, adapter, [made(2, wrong=True)])[0]
    assert float(unlike) == pytest.approx(-float((1 - wanted.exp()).log()), abs=1e-5)
    both = _loss(heads, adapter, [row, made(0)])[0]
    assert float(both) == pytest.approx((-float(wanted) - float(_starts(heads, adapter, [made(0)])[0, 0])) / 2, abs=1e-5)
    assert float(_length(heads, adapter, row)) == pytest.approx(float(torch.sigmoid(stops[1]).log()), abs=1e-5)


def test_the_divergence_is_that_of_the_distributions() -> None:
    heads, adapter = SpanHeads(8), SpanAdapter(8, 2)
    before = _starts(heads, None, [made(2)])
    assert _divergence(before, _starts(heads, adapter, [made(2)])).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        adapter.place_row.normal_()
    now = _starts(heads, adapter, [made(2)])
    kept = before.isfinite()
    wanted = torch.distributions.kl_divergence(*(torch.distributions.Categorical(logits=x[kept]) for x in (before, now)))
    found = _divergence(before, now)
    assert found.item() == pytest.approx(wanted.item(), abs=1e-5) and found.item() > 0
    found.backward()
    assert adapter.place_row.grad is not None and bool(adapter.place_row.grad.isfinite().all())


def test_it_learns_what_was_said() -> None:
    """The right span gets likelier, the wrong one less, and general passages keep their starts."""
    torch.manual_seed(0)
    heads = SpanHeads(8).requires_grad_(False)
    client = SimpleNamespace(model=SimpleNamespace(reader=heads_in_a_reader(heads)))
    right, wrong, general = made(2), made(3, wrong=True), made(4)
    settings = AdapterSettings(rank=2, steps=40, batch=2, rate=3e-2)
    adapter = fit(client, [right, wrong], [general], settings)  # type: ignore[arg-type]
    fresh = SpanAdapter(8, 2)
    with torch.no_grad():
        for row in (right, wrong):
            assert _loss(heads, adapter, [row])[0].item() < _loss(heads, fresh, [row])[0].item()
        moved = _divergence(_starts(heads, None, [general]), _starts(heads, adapter, [general]))
    free = fit(client, [right, wrong], [], settings)  # type: ignore[arg-type]
    with torch.no_grad():
        assert moved.item() < _divergence(_starts(heads, None, [general]), _starts(heads, free, [general])).item()


def heads_in_a_reader(heads: SpanHeads) -> SimpleNamespace:
    config = SimpleNamespace(hidden_size=8)
    return SimpleNamespace(state_dict=heads.state_dict, transformer=SimpleNamespace(config=config))


def test_characters_as_tokens() -> None:
    spans = [(0, 3), (4, 8), (8, 10), (11, 12)]
    assert _tokens(spans, 4, 10) == (1, 3) and _tokens(spans, 0, 3) == (0, 1)
    assert _tokens(spans, 11, 15) is None and _tokens(spans, 20, 22) is None
