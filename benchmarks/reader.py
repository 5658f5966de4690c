"""The reader's figures on held-out Wikipedia titles: gold passage, end to end, answerable or not, reliability.

python benchmarks/reader.py DATA [--model embedded:reader] [--config configs/train/reader-cpu.yaml] [--plot reliability.png]
DATA is the folder with squadshifts/new_wiki.jsonl.gz.
"""

import argparse
import json
import tempfile
from pathlib import Path

from mmgen.config import RuntimeConfig, load
from mmgen.runtime import Runtime
from mmgen.training.eval.qa_metrics import auroc, calibration_error, exact_match, f1
from mmgen.training.recipes import reader_calibration
from mmgen.training.recipes.reader import ReaderRecipe, held_out


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default="embedded:reader")
    parser.add_argument("--config", type=Path, default=Path("configs/train/reader-cpu.yaml"))
    parser.add_argument("--development", action="store_true", help="the titles used for calibration instead")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--most", type=int, help="only that many questions")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    development, test = held_out(load(args.config, ReaderRecipe), args.data)
    every = development if args.development else test
    questions = every[: args.most]
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
        scores: dict[bool, list[tuple[float, float, float]]] = {True: [], False: []}
        for answerable in (True, False):
            for question in questions:
                asked = reader_calibration.ask(library, reader, question, args.k, answerable)
                candidates = asked.candidates(calibration)
                confidence = calibration.confidence(calibration.features(candidates, asked.similarities))
                answer = candidates[0].text
                right = f1(answer, question.answers) if answerable else 0.0
                scores[answerable].append((confidence, right, exact_match(answer, question.answers)))
    told = [(c, right) for rows in scores.values() for c, right, _ in rows]
    answered = [right for c, right in told if c >= calibration.threshold]
    hits = [float(right >= reader_calibration.RIGHT) for right in answered]
    truth = [float(right >= reader_calibration.RIGHT) for _, right in told]
    figures |= {
        "end to end EM": mean([em for _, _, em in scores[True]]),
        "end to end F1": mean([right for _, right, _ in scores[True]]),
        "AUROC answerable": auroc([c for c, _, _ in scores[True]], [c for c, _, _ in scores[False]]),
        "threshold": calibration.threshold,
        "precision at threshold": mean(hits) if hits else 0.0,
        "answerable answered": mean([float(c >= calibration.threshold) for c, _, _ in scores[True]]),
        "unanswerable refused": mean([float(c < calibration.threshold) for c, _, _ in scores[False]]),
        "calibration error": calibration_error([c for c, _ in told], truth),
    }
    if args.plot:
        reader_calibration.plot([c for c, _ in told], truth, args.plot)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}, indent=2))


if __name__ == "__main__":
    main()
