"""What follows a forward pass, whichever runner made it: every sequence chooses its tokens, jobs with none left end."""

from __future__ import annotations

from collections.abc import Sequence

from mmgen.engine.job import Job
from mmgen.runners.generation import GenerationState
from mmgen.runners.sampled_sequences import SampledSequences, TokenTurn, settle
from mmgen.runners.search_sequences import BeamSequences, ContrastiveSequences, SequenceSearch

DECODINGS: dict[str, type[GenerationState]] = {
    "sample": SampledSequences,
    "greedy": SampledSequences,
    "beam": BeamSequences,
    "contrastive": ContrastiveSequences,
}


def choose(jobs: Sequence[Job]) -> list[TokenTurn]:
    """Those that are drawn choose their tokens; a bad job fails alone. What was guessed wrongly is still in their caches."""
    turns = [turn for job in jobs if isinstance(job.state, SampledSequences) for turn in job.state.turns()]
    settle(turns)
    return turns


def finish(jobs: Sequence[Job]) -> None:
    """Searches take their step once all of their sequences were read; jobs without a sequence end."""
    for job in jobs:
        try:
            if isinstance(job.state, SequenceSearch) and all(branch.logits is not None for branch in job.state.branches):
                job.state.advance()
            if job.ended is None and not job.state.branches:
                job.state.finish()
        except Exception as error:
            job.fail(error)
