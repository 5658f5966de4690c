"""Answers as sentences: how many hold, and whether they say a number, a name or a date that the evidence lacks.

python benchmarks/sentence_style.py --data DATA/qa [--questions 300] [--model embedded:smollm2] [--show 10]
Questions are of the titles of SQuADShifts new_wiki that the reader was not trained on; the reader reads the paragraph of each,
and where it answers, the model says what it found. The check here knows nothing of the pipeline's: every capitalised word but
the first, and every token with a digit, has to stand in the paragraph or its title to the letter; other content words there or
in the question, inflected or not.
"""

import argparse
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mmgen.engine.job import Request
from mmgen.function_words import FUNCTION_WORDS
from mmgen.interfaces import Hit, Passage
from mmgen.pipelines.rag import sentence_style
from mmgen.pipelines.rag.answer import Answer, cite
from mmgen.runtime import Runtime
from mmgen.training.data.qa_data import Question
from mmgen.training.recipes.reader import ReaderRecipe, held_out


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


def said(rt: Runtime, model: str, question: Question) -> tuple[Answer, float] | None:
    """The answer in a sentence and the seconds that it took; None where the reader abstains."""
    reader, client, request = rt.reader(), rt.text(model), Request.new()
    calibration = reader.model.calibration
    passage = Passage(question.context, 0, len(question.context), heading=question.title)
    hit = Hit(1, 1, question.title, passage, 1.0)
    found = calibration.candidates(reader.read(question.text, [passage.text], request), [passage.text], [1.0])
    if not found:
        return None
    citations = cite(found[0], [hit], whole_sentences=False)
    answer = Answer(question.text, citations[0].quote, citations, 1.0, False, "strict", [hit], {})
    finding = sentence_style.FoundSpan.of(citations[0], hit)

    def confirmed(sentence: str) -> bool:
        again = calibration.candidates(reader.read(question.text, [sentence], request), [sentence], [1.0])
        return bool(again) and sentence_style.same(again[0].text, finding.span)

    start = time.perf_counter()
    *_, last = sentence_style.say(client, answer, finding, confirmed, request)
    return last.value, time.perf_counter() - start


def report(answers: Sequence[tuple[Answer, float]], show: int) -> None:
    sentences = [answer for answer, _ in answers if answer.style == "sentence"]
    reasons = Counter(re.sub(r'".*?"', '"..."', answer.quoted) for answer, _ in answers if answer.quoted)
    evidence = [f"{one.passages[0].passage.heading} {one.passages[0].passage.text}".replace("_", " ") for one in sentences]
    wrong = [alien(one.text, one.question, text) for one, text in zip(sentences, evidence, strict=True)]
    print(f"{len(answers)} answers: {len(sentences)} sentences, {len(answers) - len(sentences)} quotes")
    for reason, count in reasons.most_common():
        print(f"  {count:4} {reason}")
    print(f"sentences with a number, name or date that the evidence lacks: {sum(bool(strict) for strict, _ in wrong)}")
    print(f"sentences with another content word that evidence and question lack: {sum(bool(rest) for _, rest in wrong)}")
    print(f"median {1000 * statistics.median(seconds for _, seconds in answers):.0f} ms")
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
    args = parser.parse_args()
    _, reported = held_out(ReaderRecipe(), args.data)
    asked = random.Random(0).sample([one for one in reported if one.answers], args.questions)
    with Runtime() as rt:
        answers: list[tuple[Answer, float]] = []
        with suppress(KeyboardInterrupt):  # reports what was measured so far
            for question in asked:
                if (one := said(rt, args.model, question)) is not None:
                    answers.append(one)
    report(answers, args.show)


if __name__ == "__main__":
    main()
