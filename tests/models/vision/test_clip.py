"""Losses, the text tower's rows, and large batches in the memory of small ones."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from mmgen.errors import ConfigError, TooLong
from mmgen.models.transformer_config import TransformerConfig
from mmgen.models.vision.clip import Clip, ClipConfig, in_parts, sigmoid_loss, softmax_loss
from mmgen.models.vision.vit import VisionConfig

VISION = VisionConfig(image_size=16, patch=8, hidden_size=16, layers=1, heads=2, intermediate_size=32, dropout=0.2)
TEXT = TransformerConfig(50, 16, 2, 2, 32, 12, causal=True, norm_at="pre", embedding_norm=False, dropout=0.2)
ROWS = [[1, 2, 3, 9], [4, 9], [5, 6, 7, 8, 9], [9], [3, 9], [1, 2, 3, 4, 5, 6, 9]]


def unit(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, 8, generator=torch.Generator().manual_seed(seed)), dim=-1)


def clip(text: TransformerConfig | None = TEXT, seed: int = 0, **more: object) -> Clip:
    torch.manual_seed(seed)
    return Clip(ClipConfig(VISION, 8, text, 0 if text else 20, **more))  # type: ignore[arg-type]


def test_softmax_loss_is_transformers_own() -> None:
    images, texts, scale = unit(6, 0), unit(6, 1), torch.tensor(2.0)
    expected = image_text_contrastive_loss(scale.exp() * texts @ images.T)
    torch.testing.assert_close(softmax_loss(images, texts, scale), expected)
    assert softmax_loss(images, images, torch.tensor(4.0)) < 0.1 < expected


def test_sigmoid_loss_pair_by_pair() -> None:
    images, texts, scale, bias = unit(5, 0), unit(5, 1), torch.tensor(1.5), torch.tensor(-2.0)
    pairs = [
        -F.logsigmoid((1 if i == j else -1) * (scale.exp() * images[i] @ texts[j] + bias)) for i in range(5) for j in range(5)
    ]
    torch.testing.assert_close(sigmoid_loss(images, texts, scale, bias), torch.stack(pairs).sum() / 5)


def test_temperatures_begin_as_in_the_papers() -> None:
    soft, sharp = clip(), clip(loss="sigmoid")
    assert soft.logit_scale.exp().item() == pytest.approx(1 / 0.07) and soft.logit_bias is None
    images, texts = unit(4, 0), unit(4, 1)
    torch.testing.assert_close(
        sharp.loss(images, texts), sigmoid_loss(images, texts, torch.tensor(math.log(10)), sharp.logit_bias)
    )
    torch.testing.assert_close(sharp.logits(images, texts), 10 * images @ texts.T - 10)


@torch.inference_mode()
def test_rows_of_any_lengths_and_in_any_order() -> None:
    made = clip().eval()
    assert made.text is not None and made.text_projection is not None
    together = made.embed_texts(ROWS)
    for row, found in zip(ROWS, together, strict=True):
        state = made.text(torch.tensor([row]))[0, -1]
        torch.testing.assert_close(found, F.normalize(made.text_projection(state), dim=-1), atol=1e-6, rtol=0)
    with pytest.raises(TooLong, match="a text is 13 tokens, the model reads 12"):
        made.embed_texts([[1] * 13])


def test_sentence_vectors_in_place_of_a_tower() -> None:
    made = clip(text=None)
    vectors = torch.randn(3, 20)
    assert made.text_projection is not None
    torch.testing.assert_close(made.embed_texts(vectors), F.normalize(made.text_projection(vectors), dim=-1))


@pytest.mark.parametrize("size", [1, 4, 6])
@pytest.mark.parametrize("text", [TEXT, None])
def test_gradients_in_parts_are_those_of_the_whole_batch(size: int, text: TransformerConfig | None) -> None:
    """Dropout included: every part draws the same in both of its runs, and what is drawn later is what would have been."""
    made = clip(text, loss="sigmoid").train()
    pixels, texts = torch.randn(6, 3, 16, 16), ROWS if text else torch.randn(6, 20)

    def gradients(images: Callable[[], torch.Tensor], read: Callable[[], torch.Tensor]) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        made.zero_grad()
        made.loss(images(), read()).backward()
        return {name: parameter.grad.clone() for name, parameter in made.named_parameters()}  # type: ignore[union-attr]

    def plainly(embed: Callable[..., torch.Tensor], rows: Sequence[object]) -> torch.Tensor:
        return torch.cat([embed(rows[at : at + size]) for at in range(0, 6, size)])

    expected = gradients(lambda: plainly(made.embed_images, pixels), lambda: plainly(made.embed_texts, texts))
    after = torch.rand(1)
    found = gradients(lambda: in_parts(made.embed_images, pixels, size), lambda: in_parts(made.embed_texts, texts, size))
    assert torch.equal(torch.rand(1), after)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_several_belong_together() -> None:
    """Two images of one thing, and a text that none of the images shows."""
    images, texts, scale = unit(3, 0), unit(4, 1), torch.tensor(2.0)
    same = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=torch.bool)
    seen = (scale.exp() * images @ texts.T).log_softmax(1)
    told = (scale.exp() * texts @ images.T).log_softmax(1)
    by_image = seen[:2, :2].sum() / 2 + seen[2, 2]
    by_text = told[:2, :2].sum() / 2 + told[2, 2]
    torch.testing.assert_close(softmax_loss(images, texts, scale, same=same), -(by_image + by_text) / 6)
    whole = sigmoid_loss(images, texts, scale, torch.tensor(0.0), same)
    flipped = sigmoid_loss(images, texts, scale, torch.tensor(0.0), ~same)
    torch.testing.assert_close(flipped - whole, ((2.0 * same - 1) * (scale.exp() * images @ texts.T)).sum() / 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, "give either text, the text tower's configuration, or text_width"),
        ({"text_width": 5}, "give either text"),
        ({"image_projection": False}, "dimension is 8, image vectors have 16; set image_projection"),
        ({"text_projection": False}, "dimension is 8, text vectors have 16; set text_projection"),
    ],
)
def test_shapes_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ClipConfig(**{"vision": VISION, "dimension": 8, "text": TEXT, **change})  # type: ignore[arg-type]
