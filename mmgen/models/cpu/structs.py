"""Mirrors of the structs in C. Their sizes are compared when the library is loaded."""

from __future__ import annotations

import ctypes
from typing import Any


def _fields(names: str, kind: Any = ctypes.c_ssize_t) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class DecodeQuery(ctypes.Structure):
    """One query of a sequence: its row, how many keys it attends to, and its first span."""

    _fields_ = _fields("row keys span")


class KeySpan(ctypes.Structure):
    """Neighbouring keys."""

    _fields_ = _fields("start count")


class Product(ctypes.Structure):
    """A linear layer: where its weights lie, and how."""

    _fields_ = _fields("kind weights bias scales sums inputs outputs padded chunk planes")


class BlockPart(ctypes.Structure):
    """Some outputs of a matrix in GGUF's blocks, all of one type."""

    _fields_ = _fields("type outputs panels")


class FixedGroup(ctypes.Structure):
    """32 inputs as integers, in planes of bytes."""

    _fields_ = [
        ("planes", ctypes.c_int8 * 32 * 3),
        *_fields("step total", ctypes.c_float),
        *_fields("upper lower", ctypes.c_int32 * 2),
    ]


class Layer(ctypes.Structure):
    """A decoder block: addresses of its weights and of its KV cache."""

    _fields_ = [
        *_fields("norm query_norm key_norm second_norm"),
        *_fields("qkv out up down", Product),
        *_fields("keys values turns window"),
        ("scale", ctypes.c_double),
    ]


class FusedShape(ctypes.Structure):
    """What all blocks share."""

    _fields_ = [
        *_fields("layers texts width heads groups size hidden places turned each threads padded"),
        *_fields("cos windowed_cos sin windowed_sin"),
        ("eps", ctypes.c_double),
    ]


class ModelEnds(ctypes.Structure):
    """What a pass begins and ends with: ids, word vectors, the last norm and the head over the wanted rows."""

    _fields_ = [*_fields("ids words norm wanted count only logits"), ("head", Product)]


class DecodeSteps(ctypes.Structure):
    """Multi-step decoding: how long it may go on, and what came of it."""

    _fields_ = [
        ("most", ctypes.c_ssize_t),
        ("seconds", ctypes.c_double),
        *_fields("stop finals final_count tokens draws room done unsound"),
    ]


class Draw(ctypes.Structure):
    """How words are drawn, and the uniform numbers for them."""

    _fields_ = [*_fields("temperature top_p min_p", ctypes.c_double), *_fields("top_k uniforms")]


class PackedSequence(ctypes.Structure):
    """Rows of a pass that attend to each other, and rows of an earlier pass that they see too."""

    _fields_ = _fields("first count past_first past_count")


class EncoderLayer(ctypes.Structure):
    """An encoder's block: addresses of its norms and weights, of its own queries, keys and values, and of earlier ones."""

    _fields_ = [
        *_fields("norm norm_bias second_norm second_norm_bias"),
        *_fields("qkv out up down", Product),
        *_fields("states past"),
    ]


class EncoderShape(ctypes.Structure):
    """What all of an encoder's blocks share."""

    _fields_ = [
        *_fields("layers rows sequences width heads size hidden pre causal tile most threads gate wanted"),
        *_fields("scale eps", ctypes.c_double),
    ]


class GateTable(ctypes.Structure):
    """An activation's curve in pieces."""

    _fields_ = [
        *_fields("value slope square", ctypes.c_float * 32),
        *_fields("pieces reach", ctypes.c_float),
    ]


class AttentionHeads(ctypes.Structure):
    """(rows, heads, places, size): an address, and numbers from one to the next."""

    _fields_ = _fields("at row head place")


class ManyQueries(ctypes.Structure):
    """Attention of many queries, see attention.h."""

    _fields_ = [
        *_fields("q k v y", AttentionHeads),
        *_fields("bias bias_row bias_head room rows heads key_heads queries keys size narrow threads"),
        ("scale", ctypes.c_double),
    ]


MIRRORED: tuple[type[ctypes.Structure], ...] = (
    DecodeQuery,
    KeySpan,
    Product,
    Layer,
    FusedShape,
    BlockPart,
    FixedGroup,
    ModelEnds,
    DecodeSteps,
    Draw,
    PackedSequence,
    EncoderLayer,
    EncoderShape,
    GateTable,
    AttentionHeads,
    ManyQueries,
)
"""In the order of `struct_size` in kernels.c."""


def mismatch(library: ctypes.CDLL) -> str:
    """How the library's structs differ from ours; empty: they do not."""
    size_of = library.struct_size
    size_of.argtypes, size_of.restype = [ctypes.c_ssize_t], ctypes.c_ssize_t
    sizes = [(kind.__name__, ctypes.sizeof(kind), size_of(number)) for number, kind in enumerate(MIRRORED)]
    return ", ".join(f"{name} has {ours} bytes in Python and {theirs} in C" for name, ours, theirs in sizes if ours != theirs)
