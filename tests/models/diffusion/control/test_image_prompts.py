"""Layers are numbered as IP-Adapter's files number them, and attention to images is added row by row."""

from types import SimpleNamespace

import tiny_images
import torch
import torch.nn.functional as F

from mmgen.models.cpu.linear import Linear
from mmgen.models.diffusion.control.image_prompts import ImagePrompts, PromptedAttention, layer_paths


def test_layers_on_the_way_down_then_up_then_in_the_middle() -> None:
    paths = layer_paths(tiny_images.unet())
    assert [path.split(".")[0] for path in paths] == ["down_blocks", "up_blocks", "up_blocks", "mid_block"]
    assert all(path.endswith("attn2") for path in paths)


def test_rows_without_images_are_what_they_were() -> None:
    q, k, v = torch.randn(3, 3, 2, 5, 8).unbind(0)
    layers = [[Linear(6, 16, bias=False), Linear(6, 16, bias=False)]]
    adapter, image = SimpleNamespace(layers=layers), torch.randn(4, 6)
    plain = F.scaled_dot_product_attention(q, k, v)
    with torch.inference_mode(), PromptedAttention([[], [(adapter, image, 0.5)], []], 0):
        found = F.scaled_dot_product_attention(q, k, v)
    keys, values = ((image @ one.weight.T).view(4, 2, 8).transpose(0, 1)[None] for one in layers[0])
    expected = plain.clone()
    expected[1:2] += 0.5 * F.scaled_dot_product_attention(q[1:2], keys, values)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found[0], plain[0])


def test_a_network_with_the_layers_draws_as_before() -> None:
    unet = tiny_images.unet()
    x, t, tokens = torch.randn(2, 4, 8, 8), torch.tensor([5, 9]), torch.randn(2, 7, 16)
    with torch.inference_mode():
        before = unet(x, t, tokens).sample
        ImagePrompts(unet)
        torch.testing.assert_close(unet(x, t, tokens).sample, before)
