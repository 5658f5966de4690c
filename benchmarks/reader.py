"""The reader's figures on held-out Wikipedia titles: gold passage, end to end, answerable or not by three kinds of
unanswerable questions (passages removed, recombined by rule, written by hand), reliability, risk and coverage.

python benchmarks/reader.py DATA [--model embedded:reader] [--config configs/train/reader-cpu.yaml] [--plot reliability.png]
DATA is the folder with squadshifts/new_wiki.jsonl.gz.
"""

import argparse
import hashlib
import json
import random
import tempfile
from dataclasses import replace
from pathlib import Path

from mmgen.config import RuntimeConfig, load
from mmgen.pipelines.rag_text import RagText
from mmgen.runtime import Runtime
from mmgen.training.data.qa_data import Question
from mmgen.training.data.recombined import recombined
from mmgen.training.data.tricks import read_tricks
from mmgen.training.eval.qa_metrics import auroc, calibration_error, exact_match, f1
from mmgen.training.recipes import reader_calibration
from mmgen.training.recipes.reader import ReaderRecipe, held_out


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def precision(scores: list[tuple[float, float, float]], threshold: float) -> float:
    """The share of right answers among those that are given; 0 where none is."""
    return mean([float(right >= reader_calibration.RIGHT) for c, right, _ in scores if c >= threshold] or [0.0])


def written(questions: list[Question]) -> list[Question]:
    """Questions that people would call tricks, by hand, on the passages of these; reader_adversarial.jsonl names a passage by
    the first 16 digits of its SHA-256 and holds the answer that is plausible but wrong."""
    by_hash = {hashlib.sha256(q.context.encode()).hexdigest()[:16]: q for q in questions}
    rows = [json.loads(line) for line in (Path(__file__).parent / "reader_adversarial.jsonl").read_text().splitlines()]
    found = [(row, by_hash[row["passage"]]) for row in rows if row["passage"] in by_hash]
    return [replace(q, text=row["question"], answers=[row["plausible"]], kind="written") for row, q in found]


def with_gold(model: str, questions: list[Question]) -> dict[str, float]:
    """Exact match and F1 where the reader is given the passage that answers."""
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder))) as rt:
        reader = rt.reader(model)
        found = [(q, reader.read(q.text, [q.context])[0][0]) for q in questions]
    texts = [(q.context[span.start : span.end], q.answers) for q, span in found]
    return {"gold EM": mean([exact_match(*one) for one in texts]), "gold F1": mean([f1(*one) for one in texts])}


def fitted(model: str, verifier: str, development: list[Question], most: int, tricks: Path | None) -> dict[str, object]:
    """The confidence's calibration, fitted on so many questions: as they are, without their passages, recombined, and on tricks
    written by hand; and by threshold what would be answered. The similarity's weight in ranking stays the model's."""
    some = random.Random(2).sample(development, most)
    made = recombined(some, random.Random(0))
    by_hand = read_tricks(tricks, development) if tricks else []
    asked = [(q, answerable) for q in some for answerable in (True, False)]
    asked += [(q, False) for q in made] + [(q, not q.kind) for q in by_hand]
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder))) as rt:
        library = reader_calibration.index(rt, development, Path(folder) / "store")
        reader = rt.reader(model)
        reader.verifier = verifier or reader.verifier
        read = [reader_calibration.ask(library, reader, q, 5, answerable, every=False) for q, answerable in asked]
        kept = reader.model.calibration
    calibration = reader_calibration.fit(read, kept.threshold, kept.similarity)
    return {**calibration.settings(), "by threshold": reader_calibration.by_threshold(read, calibration)}


def cases(model: str, file: Path, part: str = "") -> dict[str, object]:
    """Questions to a few sentences each, where a wrong answer is near: how many are right, refused or wrong, and the last two.
    `part`: only the file's rows of that part."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if part in ("", row.get("part"))]
    counts, told = {"right": 0, "refused rightly": 0, "refused": 0, "wrong": 0}, []
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder), reader=model)) as rt:
        rag = RagText(rt, store=str(Path(folder) / "store"))
        for number, text in enumerate(dict.fromkeys(row["text"] for row in rows)):
            rag.add_text(text, f"{number}.txt")
        for row in rows:
            answer = rag(row["question"])
            if answer.abstained:
                kind = "refused" if row["right"] else "refused rightly"
            else:
                kind = "right" if f1(answer.text, row["right"]) >= 0.8 else "wrong"
            counts[kind] += 1
            if kind in ("wrong", "refused"):
                said = answer.guess.quote if answer.guess else answer.text
                told.append(f"{kind}, {answer.confidence:.2f}: {row['question']} -> {said}")
    return {**counts, "questions": sorted(told)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="embedded:reader")
    parser.add_argument("--config", type=Path, default=Path("configs/train/reader-cpu.yaml"))
    parser.add_argument("--development", action="store_true", help="the titles used for calibration instead")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--most", type=int, help="only that many questions, drawn by a fixed seed")
    parser.add_argument("--gold", type=int, help="only exact match and F1 with the gold passage, on so many of both parts")
    parser.add_argument(
        "--cases",
        type=Path,
        nargs="?",
        const=Path(__file__).parent / "reader_cases.jsonl",
        metavar="FILE",
        help="only the questions of FILE, or of reader_cases.jsonl: now, latest, most, how many, not",
    )
    parser.add_argument("--part", default="", help="with --cases: only that part of the file")
    parser.add_argument("--fit", type=int, help="only fit the confidence on so many development questions, and print it")
    parser.add_argument("--tricks", type=Path, help="with --fit: also these, as configs/train/reader-tricks-development.jsonl")
    parser.add_argument("--verifier", default="", help="with --fit: a cross-encoder that judges the reader's answers")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    if args.cases:
        print(json.dumps(cases(args.model, args.cases, args.part), indent=2, ensure_ascii=False))
        return
    development, test = held_out(load(args.config, ReaderRecipe), args.data)
    if args.fit:
        print(json.dumps(fitted(args.model, args.verifier, development, args.fit, args.tricks), indent=2))
        return
    if args.gold:
        print(json.dumps(with_gold(args.model, random.Random(3).sample(test + development, args.gold)), indent=2))
        return
    every = development if args.development else test
    rng = random.Random(1)
    questions = rng.sample(every, args.most) if args.most else every
    with tempfile.TemporaryDirectory() as folder, Runtime(RuntimeConfig(home=Path(folder))) as rt:
        reader = rt.reader(args.model)
        gold = [(q, reader.read(q.text, [q.context])[0]) for q in questions]
        texts = [(q, q.context[found[0].start : found[0].end]) for q, found in gold]
        figures = {
            "questions": len(questions),
            "gold EM": mean([exact_match(text, q.answers) for q, text in texts]),
            "gold F1": mean([f1(text, q.answers) for q, text in texts]),
        }
        library = reader_calibration.index(rt, every, Path(folder) / "store")
        calibration = reader.model.calibration
        made = recombined(questions, rng)
        asked = {
            "answerable": [(q, True) for q in questions],
            "passages removed": [(q, False) for q in questions],
            "recombined": [(q, False) for q in made],
            "written": [(q, False) for q in written(every)],
        }
        scores: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in asked}
        for kind, ones in asked.items():
            for question, answerable in ones:
                one = reader_calibration.ask(library, reader, question, args.k, answerable, every=False)
                candidates = one.candidates(calibration)
                confidence = calibration.assessed(candidates, one.similarities, question.text, one.texts)
                text = candidates[0].text
                right = f1(text, question.answers) if answerable else 0.0
                scores[kind].append((confidence, right, exact_match(text, question.answers)))
    figures |= {
        "end to end EM": mean([em for _, _, em in scores["answerable"]]),
        "end to end F1": mean([right for _, right, _ in scores["answerable"]]),
        "threshold": calibration.threshold,
        "answerable answered": mean([float(c >= calibration.threshold) for c, _, _ in scores["answerable"]]),
        "right of answerable answered": precision(scores["answerable"], calibration.threshold),
    }
    for kind in ("passages removed", "recombined", "written"):
        if not scores[kind]:
            continue
        figures |= {
            f"AUROC against {kind}": auroc([c for c, _, _ in scores["answerable"]], [c for c, _, _ in scores[kind]]),
            f"{kind} refused": mean([float(c < calibration.threshold) for c, _, _ in scores[kind]]),
            f"right of answered beside {kind}": precision(scores["answerable"] + scores[kind], calibration.threshold),
        }
    told = [(c, right) for kind in ("answerable", "passages removed") for c, right, _ in scores[kind]]
    truth = [float(right >= reader_calibration.RIGHT) for _, right in told]
    figures["calibration error"] = calibration_error([c for c, _ in told], truth)
    if args.plot:
        reader_calibration.plot([c for c, _ in told], truth, args.plot)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
