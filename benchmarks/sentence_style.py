"""Answers as sentences: how many hold, and whether they say a number, a name or a date that the evidence lacks.

python benchmarks/sentence_style.py --data DATA/qa [--questions 300] [--model embedded:smollm2] [--show 10] [--out FILE.jsonl]
Questions are of the titles of SQuADShifts new_wiki that the reader was not trained on; the reader reads the paragraph of each,
and where it answers, the model says what it found. The check here knows nothing of the pipeline's: every capitalised word but
the first, and every token with a digit, has to stand in the paragraph or its title to the letter; other content words there or
in the question, inflected or not. With --out what was answered is kept, a line a question, and a second run goes on from there;
--minutes ends a run early.
"""

import argparse
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from mmgen.engine.job import Request
from mmgen.function_words import FUNCTION_WORDS
from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag import sentence_style
from mmgen.pipelines.rag.answer import Answer, cite
from mmgen.runtime import Runtime
from mmgen.training.data.qa_data import Question
from mmgen.training.recipes.reader import ReaderRecipe, held_out


@dataclass
class Said:
    """What was said to a question."""

    question: str
    text: str = ""
    style: str = ""  # "sentence"; empty: the reader abstained
    quoted: str = ""  # why it is a quote
    evidence: str = ""  # the paragraph, behind its title
    seconds: float = 0.0


def words(text: str) -> list[str]:
    return [word for word in (one.strip("\"'“”‘’.,;:!?()[]") for one in text.split()) if word]


def bare(word: str) -> str:
    return re.sub(r"['’]s?$", "", word).lower()


def alien(sentence: str, question: str, evidence: str) -> tuple[list[str], list[str]]:
    """Numbers, names and dates that the evidence lacks, and other content words that it and the question lack."""
    there, asked = {bare(word) for word in words(evidence)}, {bare(word) for word in words(question)}
    said = words(sentence)
    strict = [w for n, w in enumerate(said) if any(c.isdigit() for c in w) or (n and w[0].isupper())]
    strict += [w for w in said[:1] if bare(w) not in FUNCTION_WORDS and bare(w) not in asked]
    rest = [bare(w) for w in said if bare(w) not in FUNCTION_WORDS]
    known = there | asked
    near = {word[:5] for word in known}
    return [w for w in strict if bare(w) not in there], [w for w in rest if w not in known and w[:5] not in near]


def said(rt: Runtime, model: str, question: Question) -> Said:
    """The answer in a sentence, and the seconds that it took."""
    reader, client, request = rt.reader(), rt.text(model), Request.new()
    calibration = reader.model.calibration
    passage = Passage(question.context, 0, len(question.context), heading=question.title)
    hit = Hit(1, 1, question.title, passage, 1.0)
    found = calibration.candidates(reader.read(question.text, [passage.text], request), [passage.text], [1.0])
    if not found:
        return Said(question.text)
    citations = cite(found[0], [hit], whole_sentences=False)
    answer = Answer(question.text, citations[0].quote, citations, 1.0, False, "strict", [hit], {})
    finding = sentence_style.FoundSpan.of(citations[0], hit)

    def confirmed(sentence: str) -> bool:
        again = calibration.candidates(reader.read(question.text, [sentence], request), [sentence], [1.0])
        return bool(again) and sentence_style.same(again[0].text, finding.span)

    start = time.perf_counter()
    *_, last = sentence_style.say(client, answer, finding, confirmed, request)
    seconds, answer = time.perf_counter() - start, last.value
    evidence = f"{passage.heading} {passage.text}".replace("_", " ")
    return Said(question.text, answer.text, answer.style, answer.quoted, evidence, seconds)


def report(answers: Sequence[Said], show: int) -> None:
    sentences = [one for one in answers if one.style == "sentence"]
    reasons = Counter(re.sub(r'".*?"', '"..."', one.quoted) for one in answers if one.quoted)
    wrong = [alien(one.text, one.question, one.evidence) for one in sentences]
    print(f"{len(answers)} answers: {len(sentences)} sentences, {len(answers) - len(sentences)} quotes")
    for reason, count in reasons.most_common():
        print(f"  {count:4} {reason}")
    print(f"sentences with a number, name or date that the evidence lacks: {sum(bool(strict) for strict, _ in wrong)}")
    print(f"sentences with another content word that evidence and question lack: {sum(bool(rest) for _, rest in wrong)}")
    print(f"median {1000 * statistics.median(one.seconds for one in answers):.0f} ms")
    for one in sentences[:show]:
        print(f"  {one.question}\n    {one.text}")
    for one, (strict, rest) in zip(sentences, wrong, strict=True):
        if strict or rest:
            print(f"  alien {strict} {rest}: {one.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--model", default=sentence_style.DEFAULT_MODEL)
    parser.add_argument("--show", type=int, default=0, help="print the first sentences")
    parser.add_argument("--out", type=Path, help="a file of lines that keeps the answers, so that a run goes on")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="ask no more after so many")
    args = parser.parse_args()
    _, reported = held_out(ReaderRecipe(), args.data)
    asked = random.Random(0).sample([one for one in reported if one.answers], args.questions)
    kept = args.out.read_text(encoding="utf-8").splitlines() if args.out and args.out.is_file() else []
    done = {one.question: one for one in (Said(**json.loads(line)) for line in kept)}
    end = time.monotonic() + 60 * args.minutes
    with Runtime() as rt, suppress(KeyboardInterrupt):  # reports what was measured so far
        for question in asked:
            if question.text in done or time.monotonic() > end:
                continue
            one = done[question.text] = said(rt, args.model, question)
            if args.out:
                with args.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(one), ensure_ascii=False) + "\n")
    answers = [done[one.text] for one in asked if one.text in done and done[one.text].style]
    print(f"{sum(one.text in done for one in asked)} of {len(asked)} questions asked")
    report(answers, args.show)


if __name__ == "__main__":
    main()
