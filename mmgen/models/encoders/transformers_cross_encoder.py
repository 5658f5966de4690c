"""Cross-encoders of every other architecture, run by sentence-transformers: RoBERTa, XLM-R, ModernBERT, Qwen3-Reranker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmgen.errors import BadRequest, BadWeights
from mmgen.models.checkpoints.safetensors_io import read_json
from mmgen.models.cpu.batch_invariant_layers import AttentionMode, hold
from mmgen.registry import one_line

INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"
QWEN3 = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. Note "
    'that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n<Query>: {query}\n'
    "<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
)
"""What stands before and after a document; the card of Qwen/Qwen3-Reranker-0.6B (Zhang et al. 2025, arXiv 2506.05176)."""


@dataclass(frozen=True)
class TextPair:
    """A query and a text, and their length in tokens."""

    query: str
    text: str
    tokens: int

    def __len__(self) -> int:
        return self.tokens


class TransformersCrossEncoder:
    """The same calls as `cross_encoder.CrossEncoder`."""

    pads = True

    def __init__(self, folder: Path, device: str = "cpu", name: str = "") -> None:
        from sentence_transformers import CrossEncoder

        try:
            self.model = CrossEncoder(
                str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True, "dtype": "float32"}
            )
        except Exception as why:  # the package lets all kinds of errors out, those of the libraries below it too
            raise BadWeights(f"{folder} is no cross-encoder ({one_line(why)}); give a folder that holds one whole") from None
        hold(self.model)
        self.name = name or folder.name
        self.max_tokens = int(self.model.max_seq_length or 512)

    def pairs(self, query: str, texts: Sequence[str]) -> list[TextPair]:
        """Measures. The package cuts a pair that is too long, the longer part first."""
        read = self.model.tokenizer
        asked, *lengths = (len(ids) for ids in read([query, *texts], truncation=False, verbose=False)["input_ids"])
        return [TextPair(query, text, min(self.max_tokens, asked + n)) for text, n in zip(texts, lengths, strict=True)]

    def score_rows(self, pairs: Sequence[TextPair]) -> np.ndarray:
        """(B,) float32, higher is more relevant. On a CPU a pair's bits do not depend on others of its length."""
        both = [(pair.query, pair.text) for pair in pairs]
        with AttentionMode():
            scores: np.ndarray = self.model.predict(both, batch_size=len(both), show_progress_bar=False)
        return scores.astype(np.float32, copy=False)


class DecoderReranker:
    """A causal language model that is asked whether a document answers a query: score P(yes) / (P(yes) + P(no))."""

    pads = True

    def __init__(self, folder: Path, device: str = "cpu", name: str = "") -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self.model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except Exception as why:  # as above
            raise BadWeights(f"{folder} is no causal language model ({one_line(why)}); fetch it again") from None
        hold(self.model).to(device).eval()
        words = self.tokenizer.get_vocab()
        if "yes" not in words or "no" not in words:
            raise BadWeights(f"the tokenizer of {folder} has no tokens yes and no, between which a reranker decides")
        self.yes, self.no = words["yes"], words["no"]
        self.name = name or folder.name
        self.max_tokens = min(8192, int(getattr(self.model.config, "max_position_embeddings", 8192)))

    def pairs(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Token ids; a document is cut at its end where the whole does not fit."""
        before, after = (
            self.tokenizer(part, add_special_tokens=False)["input_ids"]
            for part in (QWEN3[0].format(instruction=INSTRUCTION, query=query), QWEN3[1])
        )
        room = self.max_tokens - len(before) - len(after)
        if room < 1:
            raise BadRequest(
                f"the query is {len(before)} tokens with its instruction, {self.name} reads {self.max_tokens}; shorten it"
            )
        read = self.tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
        return [[*before, *ids[:room], *after] for ids in read]

    def score_rows(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """(B,) float32; rows are padded on the left. On a CPU a row's bits do not depend on others of its length."""
        import torch

        size = max(map(len, rows))
        ids, mask = torch.zeros(len(rows), size, dtype=torch.long), torch.zeros(len(rows), size, dtype=torch.long)
        for n, row in enumerate(rows):
            ids[n, size - len(row) :], mask[n, size - len(row) :] = torch.tensor(list(row)), 1
        places = (mask.cumsum(1) - 1).clamp(min=0)
        device = self.model.device
        with torch.inference_mode(), AttentionMode():
            logits = self.model(
                input_ids=ids.to(device), attention_mask=mask.to(device), position_ids=places.to(device), logits_to_keep=1
            ).logits[:, -1]
        scores: np.ndarray = torch.sigmoid((logits[:, self.yes] - logits[:, self.no]).float()).cpu().numpy()
        return scores


def load(folder: Path, device: str = "cpu", name: str = "") -> TransformersCrossEncoder | DecoderReranker:
    """A folder without modules of sentence-transformers that holds a causal model is asked in Qwen3-Reranker's words."""
    names = read_json(folder / "config.json").get("architectures") or [""]
    if str(names[0]).endswith("ForCausalLM") and not (folder / "modules.json").is_file():
        return DecoderReranker(folder, device, name)
    return TransformersCrossEncoder(folder, device, name)
