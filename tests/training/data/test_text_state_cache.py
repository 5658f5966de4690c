from pathlib import Path

import pytest
import torch
from tiny_models import tiny_encoder  # noqa: F401  a fixture

from mmgen.errors import BadWeights, TooLong
from mmgen.models.diffusion.conditioning import SentenceConditioner
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.training.data import text_state_cache

# ruff: noqa: F811
CAPTIONS = ["a dog face above grapes on a blue background", "cat", "two pizzas", "a red heart in flat style", "dog"]


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(tiny_encoder)


def test_the_cache_says_what_the_prompts_say(encoder: SentenceEncoder, tmp_path: Path) -> None:
    kept = text_state_cache.cached(CAPTIONS, encoder, tmp_path)
    order = torch.tensor([3, 0, 0, 4, 1, 2])
    condition = kept.gather(order, size=16)
    for row, n in enumerate(order):
        alone = SentenceConditioner(encoder, 16).embed([CAPTIONS[n]])[0]
        assert alone.tokens is not None and alone.mask is not None and alone.pooled is not None
        assert condition.tokens is not None and condition.mask is not None and condition.pooled is not None
        torch.testing.assert_close(condition.tokens[row], alone.tokens, atol=4e-3, rtol=0)  # fp16
        assert torch.equal(condition.mask[row], alone.mask)
        torch.testing.assert_close(condition.pooled[row], alone.pooled, atol=1e-3, rtol=0)


def test_rows_are_as_long_as_the_longest(encoder: SentenceEncoder, tmp_path: Path) -> None:
    kept = text_state_cache.cached(CAPTIONS, encoder, tmp_path)
    short = kept.gather(torch.tensor([1, 4]))
    assert short.tokens is not None and short.tokens.shape == (2, 3, encoder.dimension)
    with pytest.raises(TooLong, match="a caption has 11 tokens, the denoiser reads 8"):
        kept.gather(torch.tensor([0, 1]), size=8)


def test_encoded_once(encoder: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, int]] = []
    text_state_cache.cached(CAPTIONS, encoder, tmp_path, progress=lambda *now: done.append(now))
    assert done == [(5, 5)]
    text_state_cache.cached(CAPTIONS, encoder, tmp_path, progress=lambda *now: done.append(now))
    assert len(done) == 1
    text_state_cache.cached(CAPTIONS[:2], encoder, tmp_path, progress=lambda *now: done.append(now))
    assert done[1:] == [(2, 2)] and len(list(tmp_path.iterdir())) == 2


def test_damage(encoder: SentenceEncoder, tmp_path: Path) -> None:
    text_state_cache.cached(CAPTIONS, encoder, tmp_path)
    (folder,) = tmp_path.iterdir()
    (folder / "states.npy").write_bytes(b"no array")
    with pytest.raises(BadWeights, match=r"is damaged.*delete it to encode the captions again"):
        text_state_cache.cached(CAPTIONS, encoder, tmp_path)
