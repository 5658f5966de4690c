"""Kernels for decoding on a CPU: a few rows at the speed of memory, norms, gates and attention in one call each.

torch multiplies a row of 768 numbers with a matrix at half of the speed at which memory gives it. Without a compiler, without
OpenMP in torch, or on a processor without AVX2, `kernels()` is None, and layers go on as torch computes them; MMGEN_NATIVE=0
asks for that.
Knows addresses and shapes; not layers, models or how kernels.c is compiled.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmgen.models.cpu import build, structs

log = logging.getLogger(__name__)
TILE_N = build.LIMITS["TILE_N"]
"""Outputs of a panel, in which matrices lie."""
LANES = 16
"""Numbers that the processor computes at once."""
MAX_HEAD_DIM = build.LIMITS["MAX_HEAD_DIM"]
"""Numbers of a head."""
MOST_HEADS = build.LIMITS["MOST_HEADS"]
"""Heads that attend at once, each with scores of its own."""
UNIT = build.LIMITS["UNIT"]
"""Outputs of a matrix in blocks that are computed together."""
MAX_GEMV_ROWS = 32 if torch.cpu._is_avx512_supported() else 8
"""Rows up to which they are faster than oneDNN."""
SHORT = build.LIMITS["TILE_M"]
"""Rows for which a call takes microseconds: they are multiplied at once."""
FIXED_GROUP, FIXED_BYTES = 32, ctypes.sizeof(structs.FixedGroup)
"""Inputs that become integers together where weights are GGUF's blocks, and bytes of them."""


class DecodeBatch:
    """Queries, and where the keys lie that each attends to. Addresses hold as long as this does."""

    def __init__(
        self, texts: Sequence[tuple[int, Sequence[tuple[int, int]]]], counts: Sequence[int] = (), ahead: int = 0
    ) -> None:
        """Of each its first row in q, and the spans (start, end) of its keys among all places.

        `counts`: rows of each; its last one attends to all keys, the one before it to all but the last, and so on. Empty: one.
        `ahead`: the last so many of all places are for keys that are still to come, and are not seen yet.
        """
        about, spans = list[int](), list[int]()
        for (row, places), count in zip(texts, counts or (1,) * len(texts), strict=True):
            keys, span = sum(end - start for start, end in places), len(spans) // 2
            for own in range(count):
                about += (row + own, keys - ahead - count + 1 + own, span)
            for start, end in places:
                spans += (start, end - start)
        self.count, self.most = len(about) // 3, max(about[1::3]) + ahead
        self._numbers = (ctypes.c_ssize_t * (len(about) + len(spans)))(*about, *spans)
        self.about = ctypes.addressof(self._numbers)
        self.spans = self.about + len(about) * ctypes.sizeof(ctypes.c_ssize_t)


class Kernels:
    """The functions of the sources in C. Numbers are addresses and counts; a count of rows also comes first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.integers = bool(ctypes.CDLL(str(path)).has_integers())
        self.fp32 = self._function("multiply_fp32", 9)
        self._rms_norm = self._function("rms_norm", 5, ctypes.c_double)
        self._gated_silu = self._function("gated_silu", 4)
        self._find_largest = self._bound(ctypes.PyDLL, "find_largest", 5)
        self._draw_words = self._bound(ctypes.PyDLL, "draw_words", 6)
        self._attend = self._function("attend", 23, ctypes.c_double)
        self.decode_all = self._bound(ctypes.CDLL, "decode", 6)
        self.forward_blocks = self._bound(ctypes.CDLL, "forward_blocks", 7)
        self.decode_steps = self._bound(ctypes.CDLL, "decode_steps", 9)
        self.blocks = self._function("multiply_blocks", 9)
        self.pack_blocks = self._bound(ctypes.CDLL, "pack_blocks", 6)
        self.unpack_blocks = self._bound(ctypes.PyDLL, "unpack_blocks", 5)
        self.blocks_bytes = self._bound(ctypes.PyDLL, "blocks_bytes", 3)
        self.blocks_bytes.restype = ctypes.c_ssize_t
        self.multiplies_bf16 = bool(ctypes.CDLL(str(path)).multiplies_bf16())
        self.encodes = bool(ctypes.CDLL(str(path)).has_encoder())
        if self.encodes:
            self._encode, self._encoder_room = (
                self._bound(ctypes.CDLL, "encode", 6),
                self._bound(ctypes.PyDLL, "encoder_room", 1),
            )
            self._encoder_room.restype = ctypes.c_ssize_t
        self.attend_all = self._bound(ctypes.CDLL, "attend_all", 1)
        self.group_norm = self._bound(ctypes.CDLL, "group_norm", 16, ctypes.c_double)
        self.gated_gelu = self._bound(ctypes.CDLL, "gated_gelu", 6)
        self.gelu_by_tanh = self._bound(ctypes.CDLL, "gelu_by_tanh", 5)
        self.attends_fast = bool(ctypes.CDLL(str(path)).attends_fast())
        self.attends_narrow = bool(ctypes.CDLL(str(path)).attends_narrow())
        if self.integers:
            self.int8, self.int4 = self._function("multiply_int8", 12), self._function("multiply_int4", 9)

    def rms_norm(self, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        """(..., D), (D,) -> (..., D); D is a multiple of LANES."""
        x = x.contiguous()
        width, y = x.shape[-1], torch.empty_like(x)
        rows = x.numel() // width
        self._rms_norm(rows, x.data_ptr(), weight.data_ptr(), y.data_ptr(), rows, width, eps)
        return y

    def gated_silu(self, x: Tensor) -> Tensor:
        """(..., 2 H), gates and then what they let through -> (..., H); H is a multiple of LANES."""
        x = x.contiguous()
        width = x.shape[-1] // 2
        rows, y = x.numel() // (2 * width), x.new_empty(*x.shape[:-1], width)
        self._gated_silu(rows, x.data_ptr(), y.data_ptr(), rows, width)
        return y

    def largest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`x.max(-1)` of (B, D): torch takes fifty times as long for a vocabulary."""
        x = x.contiguous()
        (rows, width), most, places = x.shape, x.new_empty(len(x)), torch.empty(len(x), dtype=torch.int64)
        self._find_largest(x.data_ptr(), rows, width, most.data_ptr(), places.data_ptr())
        return most, places

    def draw(self, logits: Tensor, draws: int) -> list[int]:
        """A word of each row of (B, V), whose largest logit is finite. `draws`: address of a `structs.Draw` for each, with one
        uniform number."""
        logits = logits.contiguous()
        (rows, words), places = logits.shape, torch.empty(len(logits), dtype=torch.int64)
        room = torch.empty(3 * words)
        self._draw_words(logits.data_ptr(), rows, words, draws, room.data_ptr(), places.data_ptr())
        return places.tolist()

    def attend(
        self, texts: DecodeBatch, q: Tensor, keys: Tensor, values: Tensor, scale: float, window: int | None = None
    ) -> Tensor:
        """`softmax(scale QK')V` of one query of each text -> (texts, heads, d); see `readable`.

        Args:
            q: (rows, heads, d).
            keys, values: (groups, places, d).
        """
        return self._attended(texts, q, keys, values, scale, window, (0, 0, 0, 0, 0, 0, 0))

    def decode(
        self, texts: DecodeBatch, q: Tensor, k: Tensor, v: Tensor, turns: tuple[Tensor, Tensor] | None, keys: Tensor,
        values: Tensor, scale: float, window: int | None = None,
    ) -> Tensor:  # fmt: skip
        """`attend` after k and v, (rows, groups, d), took the last places of their texts.

        `turns`: cosines and sines, (texts, R), as `layers.positions.Rotation` has them; q and k are turned by them first.
        """
        cos, sin, turned = (0, 0, 0) if turns is None else (turns[0].data_ptr(), turns[1].data_ptr(), turns[0].shape[-1])
        new = k.data_ptr(), v.data_ptr(), cos, sin, turned, k.stride(0), v.stride(0)
        return self._attended(texts, q, keys, values, scale, window, new)

    def encode(self, layers: Any, shape: structs.EncoderShape, sequences: Any, x: Tensor, seen: Tensor) -> None:
        """All blocks of an encoder over x (rows, width), in place; arrays of structs. `seen`: room, (rows, heads size)."""
        about = ctypes.addressof(shape)
        room = torch.empty(shape.threads * self._encoder_room(about), dtype=torch.uint8)
        addresses = (ctypes.addressof(layers), about, ctypes.addressof(sequences))
        self._encode(*addresses, x.data_ptr(), seen.data_ptr(), room.data_ptr())

    def _attended(
        self,
        texts: DecodeBatch,
        q: Tensor,
        keys: Tensor,
        values: Tensor,
        scale: float,
        window: int | None,
        new: tuple[int, ...],
    ) -> Tensor:
        (_, heads, size), groups, (k, v, cos, sin, turned, k_step, v_step) = q.shape, keys.shape[0], new
        each, threads = texts.most + LANES, torch.get_num_threads()
        y, room = q.new_empty(texts.count, heads, size), torch.empty(threads * MOST_HEADS * each)
        self._attend(
            texts.count, q.data_ptr(), k, v, cos, sin, keys.data_ptr(), values.data_ptr(), y.data_ptr(), room.data_ptr(),
            texts.about, texts.spans, texts.count, heads, groups, size, keys.stride(0) // size, turned, q.stride(0), k_step,
            v_step, each, threads, window or 0, scale,
        )  # fmt: skip
        return y

    def _function(self, name: str, arguments: int, *more: Any) -> Callable[..., None]:
        """The interpreter's lock is kept for SHORT rows, as getting it back may take milliseconds."""
        kept, free = (self._bound(made, name, arguments, *more) for made in (ctypes.PyDLL, ctypes.CDLL))

        def call(rows: int, *numbers: float) -> None:
            (kept if rows <= SHORT else free)(*numbers)

        return call

    def _bound(self, made: type[ctypes.CDLL], name: str, arguments: int, *more: Any) -> Any:
        function: Any = getattr(made(str(self._path)), name)
        function.argtypes, function.restype = [*[ctypes.c_ssize_t] * arguments, *more], None
        return function


@lru_cache(maxsize=1)
def kernels() -> Kernels | None:
    """None: there are none, see build.py; or their structs are not ours, which the log tells."""
    path = build.library()
    if path is not None and (why := structs.mismatch(ctypes.CDLL(str(path)))):
        log.warning("%s is not used, torch computes instead: %s; delete it, and it is compiled anew", path, why)
        return None
    return None if path is None else Kernels(path)


def fitting(x: Tensor) -> Kernels | None:
    """`kernels()`, for a tensor that they take: fp32 on a CPU, without gradients."""
    if x.dtype is not torch.float32 or x.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return None
    return kernels()


def largest(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest number of each row of (B, D), and where it lies first; NaN where one is NaN."""
    if (made := fitting(x)) is not None:
        return made.largest(x)
    found = x.max(-1)
    return found.values, found.indices


def takes(x: Tensor, inputs: int) -> bool:
    """Whether a layer of so many inputs had better multiply x, of at least one and at most MAX_GEMV_ROWS rows, by a kernel."""
    return x.shape[-1] == inputs and 0 < x.numel() <= MAX_GEMV_ROWS * inputs and x.dtype is torch.float32


def readable(q: Tensor, keys: Tensor, values: Tensor) -> bool:
    """Whether `attend` reads these: (rows, heads, d), and (groups, places, d) without gaps, but for those between groups."""
    size = q.shape[-1]
    if size % LANES or size > MAX_HEAD_DIM or q.dtype is not torch.float32 or q.stride()[1:] != (size, 1):
        return False
    if not keys.dtype == values.dtype == torch.float32 or keys.stride() != values.stride() or keys.shape != values.shape:
        return False
    return keys.stride()[1:] == (size, 1) and keys.shape[2] == size and keys.stride(0) % size == 0
