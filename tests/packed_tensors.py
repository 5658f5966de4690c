"""Tensors in GGUF's blocks: rounded by gguf-py, or random blocks of types that it only reads."""

import numpy as np
import torch
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from mmgen.models.quantization.packed_tensor import BY_NAME, PackedTensor

KERNEL_TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "MXFP4", "F16", "BF16")
"""That blocks.c multiplies."""


def packed(kind: str, rows: int, columns: int, seed: int = 0) -> PackedTensor:
    random = np.random.default_rng(seed)
    blocks = BY_NAME[kind]
    if blocks.values == 256:
        found = random.integers(0, 256, (rows, columns // 256, blocks.nbytes), dtype=np.uint8)
        scales = (random.random((rows, columns // 256, 2), dtype=np.float32) * 0.01).astype(np.float16).view(np.uint8)
        if kind == "Q6_K":
            found[..., 208:] = scales[..., :2]
        else:
            found[..., :4] = scales
        found = found.reshape(rows, -1)
    else:
        found = quantize(random.standard_normal((rows, columns)).astype(np.float32), GGMLQuantizationType[kind])
    return PackedTensor(kind, (rows, columns), torch.from_numpy(found.view(np.uint8)))
