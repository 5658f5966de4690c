"""Speed of reading: five passages for a question, by mmgen's reader and by extractive readers of its shape; ratios last.

python benchmarks/reader_speed.py DATA/qa [--questions 12] [--passages 5] [--repeats 5] [--processor-time]
Peers are transformers' BertForQuestionAnswering and the same in OpenVINO, in fp32 and bf16, over MiniLM's layers (6 of 384, the
reader's own) with a head that was not trained: what they find says nothing, what it takes does. They read each question's
passages as one padded batch and one by one, and the faster way counts. All begin with texts and end with spans of characters;
mmgen's reader also reads its likeliest answers, to score them. Medians of turns.
"""

import argparse
import gzip
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from setting import setting
from tokenizers import Tokenizer

from mmgen import hub
from mmgen.models.reader.model import PRECISIONS, ReaderModel

TARGET = 1.3
Asked = tuple[str, list[str]]


class Peer:
    """BERT with a start and an end score for each token."""

    def __init__(self, folder: Path, dtype: torch.dtype, batched: bool) -> None:
        from transformers import BertForQuestionAnswering

        self.model = BertForQuestionAnswering.from_pretrained(folder, dtype=dtype).eval()
        self.batched, self.tokenizer = batched, Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        self.tokenizer.enable_padding()

    def scores(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            found = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types)
        return found.start_logits.float().numpy(), found.end_logits.float().numpy()

    def read(self, question: str, passages: Sequence[str]) -> list[tuple[int, int]]:
        parts = [passages] if self.batched else [[passage] for passage in passages]
        return [span for part in parts for span in self._read(question, part)]

    def _read(self, question: str, passages: Sequence[str]) -> list[tuple[int, int]]:
        encoded = self.tokenizer.encode_batch([(question, passage) for passage in passages])
        ids, mask, types = (
            torch.tensor([getattr(one, name) for one in encoded]) for name in ("ids", "attention_mask", "type_ids")
        )
        starts, ends = self.scores(ids, mask, types)
        spans = []
        for row, one in enumerate(encoded):
            outside = np.where((types[row] == 1) & (mask[row] == 1), 0.0, -np.inf)
            pairs = np.triu((starts[row] + outside)[:, None] + (ends[row] + outside)[None])
            first, last = np.unravel_index(np.nanargmax(np.where(pairs == 0, -np.inf, pairs)), pairs.shape)
            spans.append((one.offsets[int(first)][0], one.offsets[int(last)][1]))
        return spans


class OpenVINO(Peer):
    """The same graph, compiled."""

    def __init__(self, folder: Path, precision: str, batched: bool) -> None:
        import openvino

        super().__init__(folder, torch.float32, batched)
        some = torch.tensor([[101, 2054, 102, 7592, 102], [101, 102, 102, 0, 0]])
        example = {"input_ids": some, "attention_mask": (some != 0).long(), "token_type_ids": torch.zeros_like(some)}
        options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self.graph: Any = openvino.compile_model(openvino.convert_model(self.model, example_input=example), "CPU", options)

    def scores(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy(), "token_type_ids": types.numpy()}
        found = self.graph(inputs)
        return found["start_logits"], found["end_logits"]


def peers(folder: Path) -> dict[str, Callable[..., Any]]:
    ways: dict[str, Callable[..., Any]] = {}
    for batched in (True, False):
        how = "one batch" if batched else "one by one"
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            ways[f"transformers {name}, {how}"] = Peer(folder, dtype, batched).read
        for name in ("f32", "bf16") if find_spec("openvino") else ():
            ways[f"OpenVINO {name}, {how}"] = OpenVINO(folder, name, batched).read
    return ways


def asked(folder: Path, questions: int, passages: int) -> list[Asked]:
    """Questions with the paragraph that answers each and others."""
    with gzip.open(folder / "squadshifts" / "new_wiki.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    some = random.Random(0).sample(rows, questions * passages)
    return [(some[n]["question"], [row["context"] for row in some[n : n + passages]]) for n in range(0, len(some), passages)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--passages", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--processor-time", action="store_true", help="beside other work, with one thread: not the wall's time")
    args = parser.parse_args()
    clock = time.process_time if args.processor_time else time.perf_counter
    models = {name: ReaderModel.load(hub.resolve("embedded:reader"), precision=name) for name in PRECISIONS}

    def read(model: ReaderModel, question: str, passages: Sequence[str]) -> Any:
        return model.read(model.pairs(question, passages))

    others = peers(hub.resolve("embedded:minilm"))
    ways = {**others, **{f"mmgen {name}": partial(read, model) for name, model in models.items()}}
    rows, times = asked(args.data, args.questions, args.passages), {name: list[float]() for name in ways}
    for turn in range(args.repeats + 1):
        for name, way in ways.items():
            began = clock()
            for question, passages in rows:
                way(question, passages)
            if turn:  # the first one warms up
                times[name].append((clock() - began) / len(rows))
    print(setting(mmgen=f"{', '.join(PRECISIONS)}, int8 as published", peers="fp32 and bf16"))
    tokens = statistics.mean(sum(map(len, models["fp32"].pairs(*row))) for row in rows)
    print(
        f"{len(rows)} questions, {args.passages} passages each, {tokens:.0f} tokens a question, {args.repeats} repeats in turn"
    )
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:34} {1000 * median:7.1f} ms a question")
    best = min(others, key=medians.__getitem__)
    for name in PRECISIONS:
        print(f"mmgen {name} / {best}: {medians[best] / medians[f'mmgen {name}']:.2f}x (target {TARGET}x)")


if __name__ == "__main__":
    main()
