"""CLIP and SigLIP with their preprocessing and tokenizers: images and texts in, unit vectors of one embedding space out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor

from mmgen import hub
from mmgen.errors import BadWeights
from mmgen.models.checkpoints.convert import Checkpoint, pour
from mmgen.models.checkpoints.no_init import without_init
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.encoders.sentence_encoder import SentenceEncoder
from mmgen.models.lm.tokenizer import Tokenizer
from mmgen.models.lm.transformer import Transformer
from mmgen.models.vision import clip_checkpoint, vision_families
from mmgen.models.vision.clip import Clip, similarities
from mmgen.models.vision.image_model import ImageModel, block_weights, dtype_of, prepare
from mmgen.models.vision.preprocess import ImagePreprocess

TEXTS = 64
"""Texts per forward pass where no runner batches them."""


class TextTower(Protocol):
    """Texts to the inputs of `Clip.embed_texts`."""

    tower: Transformer

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]: ...
    def read(self, rows: Sequence[Sequence[int]]) -> Sequence[Sequence[int]] | Tensor: ...


class TokenizedTextTower:
    """A text transformer with its checkpoint's tokenizer."""

    def __init__(self, tower: Transformer, tokenizer: Tokenizer, pad: int | None = None) -> None:
        """`pad`: SigLIP pads every text to the full context with this token, and takes the last token's state.

        Raises BadWeights for a tokenizer that is not this model's.
        """
        has, reads = tokenizer.fast.get_vocab_size(), tower.config.vocab_size
        if not reads / 2 <= has <= reads:  # what transformers makes of no files at all has two
            raise BadWeights(
                f"the tokenizer has {has} tokens, the model has embeddings for {reads}; add the model's own tokenizer.json"
            )
        if pad is None and not tokenizer.prompt(""):
            raise BadWeights("the tokenizer adds no end token, whose state is the text's embedding; it is not CLIP's")
        self.tower, self.tokenizer, self.pad = tower, tokenizer, pad
        self.most = tower.config.max_tokens

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids with special tokens. A text beyond the context is truncated before its end token."""
        rows = [self.tokenizer.prompt(text) for text in texts]
        rows = [row if len(row) <= self.most else [*row[: self.most - 1], row[-1]] for row in rows]
        return rows if self.pad is None else [row + [self.pad] * (self.most - len(row)) for row in rows]

    def read(self, rows: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        return rows


class SentenceTextTower:
    """A frozen sentence encoder as text tower; Zhai et al. 2022 (LiT)."""

    def __init__(self, encoder: SentenceEncoder, dtype: torch.dtype) -> None:
        self.encoder, self.tower, self.dtype = encoder, encoder.transformer, dtype

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self.encoder.tokenize(texts)

    def read(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """(B, d), unit length"""
        return self.encoder.embed_tokens(rows).to(self.dtype)


class DualEncoder(ImageModel):
    """mmgen.interfaces.ImageEncoder."""

    def __init__(self, clip: Clip, preprocess: ImagePreprocess, texts: TextTower, name: str = "") -> None:
        super().__init__(clip.vision, clip.config.dimension, preprocess, name)
        self.clip, self.texts = clip.eval(), texts
        self.text_weights = block_weights(texts.tower.blocks)
        self.scale = clip.logit_scale.detach().float().cpu()
        self.bias = None if clip.logit_bias is None else clip.logit_bias.detach().float().cpu()

    def vectors(self, pixels: Tensor) -> Tensor:
        return self.clip.embed_images(pixels)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        return self.texts.tokenize(texts)

    @torch.inference_mode()
    def embed_rows(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """One forward pass over rows of token ids -> (B, E) float32, unit length."""
        vectors: np.ndarray = self.clip.embed_texts(self.texts.read(rows)).float().cpu().numpy()
        return vectors

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(B, E) float32, unit length."""
        rows = self.tokenize(texts)
        parts = [self.embed_rows(rows[n : n + TEXTS]) for n in range(0, len(rows), TEXTS)]
        return np.concatenate([np.empty((0, self.dimension), dtype=np.float32), *parts])

    def logits(self, images: np.ndarray, texts: np.ndarray) -> np.ndarray:
        """Unit vectors (B, E), (C, E) -> (B, C): scaled cosines, for a softmax over texts (CLIP) or a sigmoid (SigLIP)."""
        return similarities(torch.from_numpy(images), torch.from_numpy(texts), self.scale, self.bias).numpy()

    @property
    def independent(self) -> bool:
        """Whether the logits are for a sigmoid, each label independent of the others."""
        return self.bias is not None

    def score(self, images: Sequence[Image] | Tensor, texts: Sequence[str]) -> Tensor:
        """The cosine of every image and its text -> (B,)"""
        return torch.from_numpy((self.embed_images(images) * self.embed_texts(texts)).sum(1))


def load(folder: Path, device: str = "cpu", name: str = "", precision: str = "") -> DualEncoder:
    """The registry's loader: CLIP and SigLIP in the format of transformers, CLIP in open_clip's, and mmgen's own.

    Raises BadWeights where a file is missing, damaged or of another architecture.
    """
    dtype, config = dtype_of(precision, device), folder / "config.json"
    if config.is_file() and read_json(config).get("model_type") == clip_checkpoint.OWN:
        clip, preprocess, reference = clip_checkpoint.load(folder)
        texts: TextTower = _own_texts(folder, clip.to(device, dtype), reference)
    else:
        family, shape, stem = vision_families.two_towers(folder)
        with without_init(dtype), torch.device(device):
            clip = Clip(shape).to(dtype)
        pour(Checkpoint(folder, stem), clip, family.names(shape), family.ignored)
        assert clip.text is not None
        texts = TokenizedTextTower(clip.text, Tokenizer.of(folder), _pad(folder) if family.padded else None)
        preprocess = ImagePreprocess.from_folder(folder)
    made = DualEncoder(clip, preprocess, texts, name or folder.name)
    prepare(clip, precision)
    return made


def _own_texts(folder: Path, clip: Clip, reference: str) -> TextTower:
    if clip.text is not None:
        return TokenizedTextTower(clip.text, Tokenizer.of(folder))
    encoder = SentenceEncoder.load(hub.resolve(reference, kind="encoder"), str(clip.device), reference)
    if encoder.dimension != clip.config.text_width:
        wanted = clip.config.text_width
        raise BadWeights(
            f"{reference} has {encoder.dimension}-dimensional vectors, {folder} was trained on {wanted}; name its own encoder"
        )
    return SentenceTextTower(encoder, clip.logit_scale.dtype)


def _pad(folder: Path) -> int:
    """The id of the padding token, from tokenizer_config.json or else config.json."""
    path = folder / "tokenizer_config.json"
    token = read_json(path).get("pad_token") if path.is_file() else None
    token = token["content"] if isinstance(token, dict) else token
    if token is not None:
        return Tokenizer.of(folder).id(token)
    return int(read_json(folder / "config.json").get("text_config", {}).get("pad_token_id", 1))
