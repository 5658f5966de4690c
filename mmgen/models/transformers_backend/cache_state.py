"""The library's caches as trees of tensors: copied, measured, stacked to a batch and split again. Knows no model.

A cache is whatever a model's forward pass returns to be given back at the next token: a `Cache` with its layers, lists of
recurrent states, a dictionary of these. Its tensors have the batch as their first dimension.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KEYS = ("keys", "values")
"""Tensors (B, heads, tokens, size) of an attention layer."""


class Unstackable(Exception):
    """These caches cannot be one batch."""


def clone(tree: Any) -> Any:
    """The same cache a second time; what is written to one does not change the other."""
    return tree.clone() if isinstance(tree, Tensor) else _rebuilt(clone, tree)


def nbytes(tree: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors(tree))


def tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    else:
        for part in _parts(tree).values():
            yield from tensors(part)


def stack(*trees: Any) -> Any:
    """Caches of a batch of one each -> one of all. Keys and values of shorter texts have zeros in front of them.

    Raises Unstackable where that is not enough to give all the same shapes.
    """
    first = trees[0]
    if isinstance(first, Tensor):
        return _joined(trees)
    if is_attention(first):
        longest = max(_tokens(layer) for layer in trees)
        trees = tuple(_padded(layer, longest) for layer in trees)
    return _rebuilt(stack, *trees)


def row(tree: Any, at: int, length: int, source: int = 0) -> Any:
    """One text's cache as views into that of a batch.

    Args:
        length: tokens of it that were read.
        source: tokens that its encoder read.
    """
    from transformers.cache_utils import EncoderDecoderCache

    if isinstance(tree, Tensor):
        return tree[at : at + 1] if tree.dim() else tree
    if isinstance(tree, EncoderDecoderCache):
        twin = copy.copy(tree)
        twin.self_attention_cache = row(tree.self_attention_cache, at, length)
        twin.cross_attention_cache = row(tree.cross_attention_cache, at, source)
        twin.is_updated = dict(tree.is_updated)
        return twin
    twin = _rebuilt(lambda part: row(part, at, length, source), tree)
    if is_attention(tree):
        for name in KEYS:
            if isinstance(kept := getattr(twin, name), Tensor) and kept.dim() == 4:
                setattr(twin, name, kept[:, :, max(0, kept.shape[2] - length) :])
        if hasattr(twin, "cumulative_length"):
            twin.cumulative_length = length
    return twin


def is_attention(tree: Any) -> bool:
    """Whether it is a layer of keys and values, one a token."""
    from transformers.cache_utils import DynamicLayer

    return isinstance(tree, DynamicLayer)


def pads(tree: Any) -> bool:
    """Whether texts of different lengths may be stacked: attention layers that know a token by its distance, and states."""
    from transformers import cache_utils as library

    plain = (
        library.DynamicLayer, library.DynamicSlidingWindowLayer, library.LinearAttentionLayer, library.DummyLayer,
        library.LinearAttentionAndFullAttentionLayer, library.LinearAttentionAndSlidingWindowAttentionLayer,
    )  # fmt: skip
    if isinstance(tree, library.EncoderDecoderCache):
        return pads(tree.self_attention_cache) and pads(tree.cross_attention_cache)
    return type(tree) in (library.Cache, library.DynamicCache) and all(type(layer) in plain for layer in tree.layers)


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    first = parts[0]
    if not first.dim():
        return first
    if any(part.shape[0] != 1 or part.shape[1:] != first.shape[1:] for part in parts):
        raise Unstackable
    return torch.cat(parts)


def _tokens(layer: Any) -> int:
    return int(layer.keys.shape[-2]) if isinstance(layer.keys, Tensor) and layer.keys.dim() == 4 else 0


def _padded(layer: Any, tokens: int) -> Any:
    twin, missing = copy.copy(layer), tokens - _tokens(layer)
    if missing:
        for name in KEYS:
            if not isinstance(kept := getattr(layer, name), Tensor) or kept.dim() != 4:
                raise Unstackable
            setattr(twin, name, F.pad(kept, (0, 0, missing, 0)))
    return twin


def _rebuilt(function: Callable[..., Any], *trees: Any) -> Any:
    """The first tree with `function` of the like parts of all in the place of each of its parts."""
    first, parts = trees[0], [_parts(tree) for tree in trees]
    if not parts[0]:
        return first if all(_same(first, tree) for tree in trees) else _longest(trees)
    if any(one.keys() != parts[0].keys() for one in parts):
        raise Unstackable
    new = {name: function(*(one[name] for one in parts)) for name in parts[0]}
    if isinstance(first, list | tuple):
        return type(first)(new.values())
    if isinstance(first, dict):
        return type(first)(new)
    twin = copy.copy(first)
    vars(twin).update(new)
    return twin


def _parts(tree: Any) -> dict[Any, Any]:
    from transformers import PreTrainedConfig

    if isinstance(tree, dict):
        return tree
    if isinstance(tree, list | tuple):
        return dict(enumerate(tree))
    ours = type(tree).__module__.startswith("transformers.") and hasattr(tree, "__dict__")
    return vars(tree) if ours and not isinstance(tree, PreTrainedConfig | nn.Module | type) else {}


def _same(one: Any, other: Any) -> bool:
    return one is other or bool(type(one) is type(other) and one == other)


def _longest(trees: tuple[Any, ...]) -> int:
    """Counts of tokens, such as a sliding window's: that of the longest text, as the others have zeros in front."""
    if not all(type(tree) is int for tree in trees):
        raise Unstackable
    return int(max(trees))
