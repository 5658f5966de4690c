"""A causal language model's perplexity on held-out text.

python benchmarks/language_model.py DATA MODEL [--precision fp32] [--held-out 0.02] [--rows N]
DATA is the folder with books/, wikitext2/ and tinyshakespeare/, MODEL a reference or a folder. Books: those that no recipe
with the same `held_out` trains on, nats a byte. WikiText-2's test text: a word, as its tokens and ends of line are counted.
Tiny Shakespeare's last tenth: a character. Each row but the first of a document begins with half a row
that was counted before.
"""

import argparse
import json
import math
from pathlib import Path

import torch

from mmgen import hub
from mmgen.models.lm.language_model import LanguageModel
from mmgen.models.lm.text_model import TextModel
from mmgen.training.data import text_files


def nats(model: TextModel, text: str, most: int) -> tuple[float, float]:
    """Of at most so many rows from the beginning of a text, and what share of the text they are."""
    start = model.bos_id if model.bos_id is not None else next(iter(model.eos_ids))
    ids, size = [start, *model.tokenizer.encode(text).ids], model.max_tokens
    total, done = 0.0, 1
    for _ in range(most):
        if done >= len(ids):
            break
        first = max(0, done - size // 2)
        row = torch.tensor([ids[first : first + size + 1]])
        with torch.inference_mode():
            said = model.lm(row[:, :-1])[0].float().log_softmax(-1).gather(1, row[0, 1:, None])
        total -= float(said[done - first - 1 :].sum())
        done = first + row.shape[1]
    return total, (done - 1) / (len(ids) - 1)


def parameters(model: TextModel) -> int:
    """Of its shape, whatever they are rounded to."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in LanguageModel(model.lm.config).parameters())


def figures(model: TextModel, documents: list[str], units: list[int], most: int) -> dict[str, float]:
    """`units`: bytes, words or characters of each document."""
    total = count = 0.0
    for text, unit in zip(documents, units, strict=True):
        lost, share = nats(model, text, most)
        total, count = total + lost, count + share * unit
    return {"nats": total / count, "perplexity": math.exp(total / count), "bits": total / count / math.log(2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("model")
    parser.add_argument("--precision", default="", help="fp32, bf16, int8 ...")
    parser.add_argument("--held-out", type=float, default=0.02, help="as in the recipe")
    parser.add_argument("--rows", type=int, default=10**9, help="of each document at most")
    args = parser.parse_args()
    model = TextModel.load(hub.resolve(args.model), precision=args.precision)
    out: dict[str, object] = {"model": args.model, "parameters": parameters(model)}
    if (args.data / "books").is_dir():
        _, books = text_files.split(list(text_files.read(text_files.files(args.data / "books"))), args.held_out)
        sizes = [len(text.encode()) for text in books]
        out["held-out books, a byte"] = {"books": len(books), **figures(model, books, sizes, args.rows)}
    if (args.data / "wikitext2").is_dir():
        (text,) = text_files.read([args.data / "wikitext2" / "test.txt.gz"])
        words = len(text.split()) + text.count("\n")
        out["WikiText-2 test, a word"] = {"words": words, **figures(model, [text], [words], args.rows)}
    if (args.data / "tinyshakespeare").is_dir():
        _, (text,) = text_files.split(list(text_files.read(text_files.files(args.data / "tinyshakespeare"))), 0.1)
        out["Tiny Shakespeare, a character"] = {"characters": len(text), **figures(model, [text], [len(text)], args.rows)}
    print(json.dumps(out, indent=2))


if __name__ == "__main__":
    main()
