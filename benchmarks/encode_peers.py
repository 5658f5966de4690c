"""Peers of encode.py on the same weights: sentence-transformers, and OpenVINO where it is installed, each in fp32 and bf16."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

Way = Callable[[Sequence[str]], np.ndarray]
BATCHES = (1, 8, 32)
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def ways(folder: Path) -> dict[str, Way]:
    """By name. A peer has a way for each precision and batch size; the benchmark takes the fastest for each set of texts."""
    from sentence_transformers import SentenceTransformer

    found: dict[str, Way] = {}
    for name, dtype in PRECISIONS.items():
        peer = SentenceTransformer(str(folder), device="cpu", model_kwargs={"torch_dtype": dtype})
        for size in BATCHES:
            options = {"batch_size": size, "normalize_embeddings": True, "show_progress_bar": False}
            found[f"sentence-transformers {name}, batches of {size}"] = partial(peer.encode, **options)  # type: ignore[arg-type]
    return {**found, **(openvino_ways(folder) if find_spec("openvino") else {})}


def openvino_ways(folder: Path) -> dict[str, Way]:
    """The network and its mean pooling as one graph. Texts are sorted by length, as sentence-transformers sorts them; requests
    go through an asynchronous queue, with as many streams as its hint chooses."""
    import openvino

    core, graph = openvino.Core(), openvino.convert_model(PooledBert(folder), example_input=example())
    found: dict[str, Way] = {}
    for name in ("f32", "bf16"):
        for hint in ("LATENCY", "THROUGHPUT"):
            threads = torch.get_num_threads()
            options = {"INFERENCE_PRECISION_HINT": name, "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": threads}
            compiled = core.compile_model(graph, "CPU", options)
            for size in BATCHES:
                way = OpenVINO(openvino.AsyncInferQueue(compiled), folder, size)
                found[f"OpenVINO {name}, {hint.lower()}, batches of {size}"] = way
    return found


def example() -> dict[str, torch.Tensor]:
    ids = torch.tensor([[101, 2054, 102], [101, 102, 0]])
    return {"ids": ids, "mask": (ids != 0).long()}


class PooledBert(torch.nn.Module):
    """BERT with mean pooling to unit length."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from transformers import BertModel

        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False).eval()

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        return torch.nn.functional.normalize((states * mask[..., None]).sum(1), dim=-1)


class OpenVINO:
    """Texts to vectors."""

    def __init__(self, queue: Any, folder: Path, size: int) -> None:
        from tokenizers import Tokenizer

        self.queue, self.size = queue, size
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()
        self.found: dict[int, np.ndarray] = {}
        queue.set_callback(lambda request, first: self.found.update({first: request.get_output_tensor().data.copy()}))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.found.clear()
        order = sorted(range(len(texts)), key=lambda n: -len(texts[n]))
        for first in range(0, len(texts), self.size):
            part = self.tokenizer.encode_batch([texts[n] for n in order[first : first + self.size]])
            ids = np.array([one.ids for one in part], dtype=np.int64)
            self.queue.start_async({"ids": ids, "mask": np.array([one.attention_mask for one in part], dtype=np.int64)}, first)
        self.queue.wait_all()
        vectors = np.concatenate([self.found[first] for first in sorted(self.found)])
        back = np.empty_like(vectors)
        back[order] = vectors
        return back
