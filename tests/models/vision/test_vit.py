"""The vision transformer by itself; its equality with others' is in test_two_towers.py and test_classifier.py."""

from dataclasses import replace

import pytest
import torch

from mmgen.errors import BadRequest, ConfigError
from mmgen.models.vision.vit import Rotary2d, VisionConfig, VisionTransformer, interpolated

PLAIN = VisionConfig(image_size=32, patch=8, hidden_size=32, layers=2, heads=4, intermediate_size=64)
SHAPES = {
    "class": PLAIN,
    "mean": replace(PLAIN, pooling="mean"),
    "attention": replace(PLAIN, pooling="attention", class_token=False),
    "stem": replace(PLAIN, pooling="mean", stem=(8, 16)),
    "rotary": replace(PLAIN, pooling="mean", class_token=False, positions="rotary2d"),
}


def tower(config: VisionConfig, seed: int = 0) -> VisionTransformer:
    torch.manual_seed(seed)
    made = VisionTransformer(config).eval()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return made


def images(count: int = 3, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("name", list(SHAPES))
@torch.inference_mode()
def test_shapes_at_any_size(name: str) -> None:
    config, made = SHAPES[name], tower(SHAPES[name])
    assert made(images()).shape == (3, config.tokens, 32)
    assert made(images(2, 16, 47)).shape == (2, 2 * 5 + config.class_token, 32)
    assert made.pooled(images(2, 16, 47)).shape == (2, 32)


@torch.inference_mode()
def test_what_pooling_takes() -> None:
    made = tower(SHAPES["class"])
    torch.testing.assert_close(made.pooled(images()), made(images())[:, 0])
    made = tower(SHAPES["mean"])
    torch.testing.assert_close(made.pooled(images()), made(images())[:, 1:].mean(1))


@torch.inference_mode()
def test_every_place_through_its_own_projection() -> None:
    made = tower(replace(PLAIN, pooling="places"))
    assert made.places is not None
    own = made.places.weight.unflatten(1, (17, 32))  # (D, N, D)
    torch.testing.assert_close(made.pooled(images()), torch.einsum("bnd,end->be", made(images()), own))
    with pytest.raises(BadRequest, match="the image is 24 x 32 pixels, this model takes 32 x 32"):
        made.pooled(images(1, 32, 24))


@torch.inference_mode()
def test_attention_pooling_is_torchs_own() -> None:
    """nn.MultiheadAttention with a learned query, then the residual feed-forward."""
    made = tower(SHAPES["attention"])
    states, pool = made(images()), made.pool
    assert pool is not None
    peer = torch.nn.MultiheadAttention(32, 4, batch_first=True)
    peer.in_proj_weight.copy_(torch.cat((pool.attention.q.weight, pool.attention.kv.weight)))
    peer.in_proj_bias.copy_(torch.cat((pool.attention.q.bias, pool.attention.kv.bias)))
    peer.out_proj.load_state_dict(pool.attention.out.state_dict())
    x = peer(pool.query.expand(3, 1, -1), states, states)[0][:, 0]
    torch.testing.assert_close(made.pooled(images()), x + pool.down(pool.activation(pool.up(pool.norm(x)))))


def test_learned_positions_keep_their_places_when_stretched() -> None:
    """A ramp over the rows stays one."""
    rows = torch.arange(4.0).repeat_interleave(4)[:, None].expand(16, 32)
    positions = torch.cat((torch.full((1, 32), 9.0), rows))
    out = interpolated(positions, PLAIN, 8, 4)
    assert out.shape == (33, 32) and (out[0] == 9).all()
    ramp = out[1:].unflatten(0, (8, 4))[:, 0, 0]
    torch.testing.assert_close(ramp[2:6], torch.tensor([0.75, 1.25, 1.75, 2.25]), atol=0.09, rtol=0)
    assert interpolated(positions, PLAIN, 4, 4) is positions


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    config = SHAPES["rotary"]
    rotation = Rotary2d(config)(4, 4, torch.device("cpu"))
    q, k = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    turned_q, turned_k = (rotation.turn(x.expand(1, 16, 1, -1))[0, :, 0].unflatten(0, (4, 4)) for x in (q, k))

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        return float(turned_q[a] @ turned_k[b])

    assert score((0, 0), (1, 2)) == pytest.approx(score((2, 1), (3, 3)), abs=1e-5)
    assert abs(score((0, 0), (1, 2)) - score((0, 0), (2, 1))) > 1e-3  # rows are no columns
    assert abs(score((0, 0), (1, 2)) - score((1, 2), (0, 0))) > 1e-3


def test_rotary_on_a_finer_grid_and_with_a_class_token() -> None:
    config = replace(SHAPES["rotary"], class_token=True)
    coarse, fine = (Rotary2d(config)(side, side, torch.device("cpu")) for side in (4, 8))
    torch.testing.assert_close(fine.cos[1:].unflatten(0, (8, 8))[::2, ::2], coarse.cos[1:].unflatten(0, (4, 4)))
    assert (coarse.cos[0] == 1).all() and (coarse.sin[0] == 0).all()


def test_checkpointing_changes_no_gradient() -> None:
    made = tower(PLAIN).train()
    gradients = []
    for made.checkpointing in (False, True):
        made.zero_grad()
        made.pooled(images()).square().sum().backward()
        gradients.append([parameter.grad for parameter in made.parameters()])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again)


def test_a_image_smaller_than_a_patch() -> None:
    with pytest.raises(BadRequest, match="the image is 32 x 7 pixels, smaller than a patch of 8; enlarge it"):
        tower(PLAIN)(images(1, 7, 32))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 4}, "image_size is 4, less than a patch of 8"),
        ({"patch": 0}, "patch is 0; it is a number of pixels"),
        ({"class_token": False}, 'pooling is "class" without a class_token'),
        ({"positions": "rotary2d", "heads": 16}, "heads of width 2 are too narrow for rotary2d"),
        ({"stem": (8, 8, 8, 8)}, "a patch of 8 cannot be halved 4 times by the stem"),
        ({"heads": 5}, "5 heads do not divide hidden_size 32"),
    ],
)
def test_shapes_that_cannot_be(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        VisionTransformer(replace(PLAIN, **change))  # type: ignore[arg-type]
