"""What families do not show: masks, caches, memories, experts, dropout and activation checkpointing."""

from dataclasses import replace

import pytest
import torch
from transformer_configs import KINDS, LLAMA, close, ids, model

from mmgen.models.layers.attention import AttentionRules, EncoderMemory, VarlenAttention, attend_rows
from mmgen.models.layers.feed_forward import Experts, balance_loss
from mmgen.models.layers.kv_cache import GrowingCache
from mmgen.models.layers.masks import packed_mask, padding_mask, prefix_mask
from mmgen.models.layers.positions import alibi_slopes
from mmgen.models.layers.sdpa import dot_product
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.transformer import Transformer
from mmgen.models.transformer_config import RopeScaling


@pytest.fixture(params=list(KINDS))
def lm(request: pytest.FixtureRequest) -> LanguageModel:
    return model(KINDS[request.param])


@torch.inference_mode()
def test_in_pieces_through_a_cache(lm: LanguageModel) -> None:
    text, cache = ids(2, 17), GrowingCache()
    parts = [lm(part, cache=cache) for part in text.split([6, 1, 4, 1, 5], 1)]
    close(torch.cat(parts, 1), lm(text))
    assert len(cache) == 17


@torch.inference_mode()
def test_rows_of_many_lengths_side_by_side(lm: LanguageModel) -> None:
    rows = [ids(n, seed=n) for n in (5, 9, 9, 1)]
    positions = torch.cat([torch.arange(len(row)) for row in rows])
    together = lm(torch.cat(rows)[None], VarlenAttention.of([5, 9, 9, 1]), positions=positions)
    close(together, torch.cat([lm(row[None]) for row in rows], 1))


@torch.inference_mode()
@pytest.mark.parametrize(
    "scaling",
    [
        RopeScaling("dynamic", factor=2.0, original=6),
        RopeScaling("longrope", factor=2.0, original=6, short_factors=(1.0, 1.5, 2.0, 2.5), long_factors=(2.0, 3.0, 4.0, 5.0)),
    ],
    ids=lambda scaling: scaling.kind,
)
def test_rotations_that_depend_on_the_length_know_their_row(scaling: RopeScaling) -> None:
    lm = model(replace(LLAMA, rope_scaling=scaling))
    long, short = ids(1, 11), ids(1, 5)
    positions = torch.cat((torch.arange(11), torch.arange(5)))
    together = lm(torch.cat((long, short), 1), VarlenAttention.of([11, 5]), positions=positions)
    close(together, torch.cat((lm(long), lm(short)), 1))
    assert (lm(long)[:, :5] - lm(long[:, :5])).abs().max() > 1e-3


@torch.inference_mode()
def test_a_mask_narrows_what_the_shape_allows(lm: LanguageModel) -> None:
    """Two documents in one row see what they see alone; padding behind a row changes nothing."""
    one, two = ids(1, 7), ids(1, 6, seed=1)
    packed = torch.cat((one, two), 1)
    positions = torch.cat((torch.arange(7), torch.arange(6)))
    mask = packed_mask(torch.tensor([[0] * 7 + [1] * 6]))
    if lm.config.sparse_block == 0:  # its blocks are counted from the row's beginning
        close(lm(packed, mask, positions=positions), torch.cat((lm(one), lm(two)), 1))
    close(lm(packed, padding_mask(torch.tensor([7]), 13))[:, :7], lm(one))


@torch.inference_mode()
def test_nobody_sees_ahead(lm: LanguageModel) -> None:
    text = ids(1, 12)
    changed = text.clone()
    changed[0, 8:] = (changed[0, 8:] + 1) % 50
    before, after = lm(text), lm(changed)
    close(before[:, :8], after[:, :8])
    assert (before[:, 8:] - after[:, 8:]).abs().max() > 0.1


@torch.inference_mode()
@pytest.mark.parametrize("kind", ["plain", "alibi", "learned", "softcap"])
def test_prefix_language_model(kind: str) -> None:
    """A prefix seen both ways, an answer written causally: one pass with its mask is a prefill and single steps."""
    lm, cache = model(replace(KINDS[kind], causal=False)), GrowingCache()
    text = ids(1, 12)
    whole = lm(text, prefix_mask(torch.tensor([7]), 7, 5))
    steps = [lm(part, cache=cache) for part in (text[:, :7], *text[:, 7:].split(1, 1))]
    close(torch.cat(steps, 1), whole)
    changed = text.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 50
    assert (lm(changed[:, :7])[:, 0] - steps[0][:, 0]).abs().max() > 0.01


@torch.inference_mode()
def test_what_a_window_and_sparse_blocks_see() -> None:
    q = torch.arange(8)
    window = AttentionRules(0, causal=True, window=3).mask(q, q)
    assert window is not None and window[5].nonzero().flatten().tolist() == [3, 4, 5]
    rules = AttentionRules.of(replace(LLAMA, sparse_block=2, sparse_local=2), 0)
    sparse = rules.mask(q, q)
    assert sparse is not None and sparse[6].nonzero().flatten().tolist() == [0, 1, 4, 5, 6]
    assert AttentionRules(0).mask(q, q) is None


@pytest.mark.slow
@torch.inference_mode()
def test_flex_attention_equals_the_mask() -> None:
    from mmgen.models.layers import flex_attention

    torch.manual_seed(0)
    q, k, v = torch.randn(1, 4, 300, 16), torch.randn(1, 2, 300, 16), torch.randn(1, 2, 300, 16)
    rules = AttentionRules.of(replace(LLAMA, sparse_block=64, window=150, scale=0.25), 0)
    assert rules.sparse is not None and not flex_attention.fits((None, None), q)
    with pytest.warns(UserWarning, match="flex_attention called without torch.compile"):
        skipping = flex_attention.attend(rules.sparse, True, 150, q, k, v, 0.25, compiled=False)
    close(skipping, attend_rows(rules, q, k, v))


def test_shared_keys_are_repeated_keys() -> None:
    q, k, v = torch.randn(2, 6, 5, 8), torch.randn(2, 2, 5, 8), torch.randn(2, 2, 5, 8)
    repeated = [x.repeat_interleave(3, 1) for x in (k, v)]
    for n in (1, 5):
        mask = torch.rand(2, 1, n, 5) > 0.3
        mask[..., 0] = True
        for given in (None, mask, mask.expand(2, 6, n, 5), torch.randn(6, n, 5)):
            for cap in (None, 2.0):
                shared = dot_product(q[:, :, :n], k, v, given, scale=0.4, softcap=cap)
                close(shared, dot_product(q[:, :, :n], *repeated, given, scale=0.4, softcap=cap))


def test_activation_checkpointing_changes_no_gradient() -> None:
    encoder = replace(LLAMA, positions="relative", causal=False)
    for config in (replace(LLAMA, experts=3), replace(LLAMA, positions="relative", encoder=encoder)):
        gradients = []
        for checkpointing in (False, True):
            lm = model(config).train()
            for part in lm.modules():
                if isinstance(part, Transformer):
                    part.checkpointing = checkpointing
            memory = None if lm.encoder is None else lm.encode(ids(2, 5, seed=3))
            lm(ids(2, 9), memory=memory).logsumexp(-1).sum().backward()
            gradients.append([parameter.grad for parameter in lm.parameters()])
        for plain, again in zip(*gradients, strict=True):
            assert (plain is None) == (again is None)
            if plain is not None and again is not None:
                torch.testing.assert_close(plain, again)


def test_dropout_only_in_training() -> None:
    lm, text = model(replace(LLAMA, dropout=0.5)), ids(1, 9)
    assert torch.equal(lm(text), lm(text)) and torch.equal(lm(text), model(LLAMA)(text))
    lm.train()
    assert not torch.equal(lm(text), lm(text))


@torch.inference_mode()
def test_a_memory_is_read_once_for_many_rows() -> None:
    lm = model(replace(LLAMA, encoder=replace(LLAMA, causal=False)))
    read, mask = ids(1, 6, seed=5), torch.tensor([[True] * 4 + [False] * 2])
    memory, text = lm.encode(read, mask), ids(3, 5)
    together = lm(text, memory=memory)
    assert set(memory.layers) == {0, 1}
    close(together, torch.cat([lm(row[None], memory=lm.encode(read[:, :4])) for row in text]))
    states = memory.states
    close(together, lm(text, memory=EncoderMemory(states, mask[:, None, None])))
    close(together, lm(text, memory=states.expand(3, -1, -1), memory_mask=mask[:, None, None]))


def test_experts_by_hand() -> None:
    config = replace(LLAMA, experts=4)
    torch.manual_seed(0)
    mixture, x, routing = Experts(config), torch.randn(2, 3, 32), []
    out = mixture(x, routing)
    for row in range(2):
        for place in range(3):
            probabilities = mixture.router(x[row, place]).softmax(-1)
            (a, b), (first, second) = (part.tolist() for part in probabilities.topk(2))
            one, two = mixture.each[int(first)](x[row, place]), mixture.each[int(second)](x[row, place])
            close(out[row, place], (a * one + b * two) / (a + b))
    assert routing[0].shape == (6, 4)


def test_balance_loss_equals_transformers() -> None:
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    lm, routing = model(replace(LLAMA, experts=4)), []
    lm(ids(2, 9), routing=routing)
    assert [logits.shape for logits in routing] == [(18, 4)] * 2
    loss = balance_loss(routing, 2)
    torch.testing.assert_close(loss, load_balancing_loss_func(tuple(routing), 4, 2))
    loss.backward()
    assert all(block.experts.router.weight.grad.abs().max() > 0 for block in lm.transformer.blocks)
    even = torch.tensor([[9.0, 9, 0, 0], [0, 0, 9, 9]])
    assert balance_loss([even], 2) == pytest.approx(2) and balance_loss([even[:1]], 2) > 3.9


@pytest.mark.parametrize("heads", [1, 6, 8, 12])
def test_alibi_slopes_equal_transformers(heads: int) -> None:
    from transformers.models.bloom.modeling_bloom import build_alibi_tensor

    theirs = build_alibi_tensor(torch.ones(1, 2), heads, torch.float32)
    close(alibi_slopes(heads), theirs[:, 0, 1])


@torch.inference_mode()
def test_rotation_is_relative_and_in_fp32_whatever_the_weights() -> None:
    lm = model(LLAMA)
    rotary = lm.to(torch.bfloat16).transformer.rotary
    assert rotary is not None and rotary.frequencies.dtype == torch.float32
    q, k = torch.randn(1, 1, 2, 8), torch.randn(1, 1, 2, 8)

    def score(at: int, by: int) -> torch.Tensor:
        turned = [rotary(torch.tensor([place]), torch.tensor([64])).turn(x) for x, place in ((q, at), (k, by))]
        return (turned[0] * turned[1]).sum(-1)

    close(score(3, 1), score(40, 38))
    assert (score(3, 1) - score(3, 2)).abs().max() > 1e-3
