"""Words that a file gives their own vectors (textual inversion, Gal et al. 2022). Reads safetensors only; knows no encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mmgen.errors import BadWeights
from mmgen.models.checkpoints import safetensors_io
from mmgen.models.checkpoints.safetensors_io import some

ENCODERS = {"clip_l": 0, "clip_g": 1, "text_encoder": 0, "text_encoder_2": 1}
"""How files for two encoders call them."""


@dataclass(frozen=True, eq=False)
class LearnedWord:
    """A word and its vectors for each text encoder of a model, (N, D) fp32."""

    path: Path
    words: tuple[str, ...]  # by which a prompt names it: the file's name, and what is written in it
    vectors: dict[int, Tensor]  # by the encoder's number


def read(path: Path, widths: list[int], model: str) -> LearnedWord:
    """AUTOMATIC1111's files (`emb_params`; `clip_l` and `clip_g`), where the word is the file's name, and diffusers'.

    widths: numbers a token, of each encoder of `model`.
    Raises BadWeights for a file that is damaged, a pickle, of another model, or no textual inversion.
    """
    if path.suffix != ".safetensors":
        raise BadWeights(
            f"{path} is not a safetensors file; a pickle can run code when read, fetch the embedding as safetensors"
        )
    tensors, words = safetensors_io.read(path), [path.stem]
    flat = all(tensor.dim() in (1, 2) for tensor in tensors.values())
    if flat and tensors and tensors.keys() <= ENCODERS.keys():
        found = {ENCODERS[name]: tensor for name, tensor in tensors.items()}
    elif flat and len(tensors) == 1:
        ((name, tensor),) = tensors.items()
        found = {0: tensor}
        words += [name] if name not in ("emb_params", path.stem) else []
    else:
        raise BadWeights(f"{path} is no textual inversion: it holds {some(tensors)}; give a file with the vectors of one word")
    if not all(tensor.numel() for tensor in found.values()):
        raise BadWeights(f"{path} holds no vectors; the file is damaged, fetch it again")
    vectors = {number: tensor.float().reshape(-1, tensor.shape[-1]) for number, tensor in found.items()}
    if not widths:
        raise BadWeights(f"{path} is an embedding for CLIP, but {model} has no CLIP text encoder; leave it out")
    given = [vectors[number].shape[1] if number in vectors else None for number in range(max(len(widths), max(vectors) + 1))]
    if given != widths:
        theirs, ours = (" and ".join(str(one) for one in many if one is not None) for many in (given, widths))
        raise BadWeights(f"{path} has vectors of {theirs} numbers, {model} reads {ours}; take an embedding made for this model")
    if len({len(one) for one in vectors.values()}) != 1:
        raise BadWeights(f"{path} has unlike many vectors for the two text encoders; the file is damaged")
    if not all(bool(one.isfinite().all()) for one in vectors.values()):
        raise BadWeights(f"{path} holds numbers that are none; the file is damaged, fetch it again")
    return LearnedWord(path, tuple(words), vectors)
