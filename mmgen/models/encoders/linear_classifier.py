"""Multinomial logistic regression on sentence vectors: a few kilobytes that tell kinds of texts apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.errors import BadWeights


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """softmax(W x + b) over named classes."""

    classes: tuple[str, ...]  # C of them
    weight: np.ndarray  # (C, D) float32
    bias: np.ndarray  # (C,) float32
    encoder: str  # reference of the model whose vectors it takes

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """(B, D) -> (B, C)"""
        return np.asarray(vectors @ self.weight.T + self.bias)

    def probabilities(self, vector: np.ndarray, among: Sequence[str]) -> dict[str, float]:
        """Of some of the classes, as if there were no others: (D,) -> class to probability."""
        logits = dict(zip(self.classes, self.logits(vector[None])[0].tolist(), strict=True))
        most = max(logits[name] for name in among)
        powers = {name: float(np.exp(logits[name] - most)) for name in among}
        total = sum(powers.values())
        return {name: power / total for name, power in powers.items()}

    def save(self, path: Path) -> None:
        """A safetensors file with fp16 weights."""
        from safetensors.numpy import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {"weight": self.weight.astype(np.float16), "bias": self.bias.astype(np.float16)}
        save_file(tensors, path, metadata={"classes": json.dumps(self.classes), "encoder": self.encoder})

    @classmethod
    def load(cls, path: Path) -> LinearClassifier:
        """Raises BadWeights for a file that is none."""
        from mmgen.models.checkpoints import safetensors_io

        tensors, told = safetensors_io.read(path), safetensors_io.read_metadata(path)
        try:
            classes, (weight, bias) = tuple(json.loads(told["classes"])), (tensors["weight"].numpy(), tensors["bias"].numpy())
        except (KeyError, ValueError) as why:
            raise BadWeights(f"{path} is no linear classifier ({why}); train it with `mmgen train router`") from None
        if weight.ndim != 2 or weight.shape[0] != len(classes) or bias.shape != (len(classes),):
            raise BadWeights(f"{path} has weights {weight.shape} for {len(classes)} classes; train it anew")
        return cls(classes, weight.astype(np.float32), bias.astype(np.float32), told.get("encoder", ""))


def fit(vectors: np.ndarray, labels: Sequence[str], encoder: str, penalty: float = 3e-4) -> LinearClassifier:
    """Minimises mean cross-entropy + penalty * |W|^2 with L-BFGS; a convex problem, so the data decide the result.

    vectors: (N, D); labels: the class of each.
    """
    import torch

    classes = tuple(sorted(set(labels)))
    inputs = torch.tensor(vectors, dtype=torch.float64)
    targets = torch.tensor([classes.index(label) for label in labels])
    weight = torch.zeros(len(classes), inputs.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(classes), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weight.T + bias, targets) + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return LinearClassifier(
        classes, weight.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32), encoder
    )
