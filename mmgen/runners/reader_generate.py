"""The reader writing freely, a word piece a turn. Knows when a job began and when it ends; not what is written."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from mmgen.engine.job import Job
from mmgen.engine.scheduling.cost_model import Estimate
from mmgen.models.reader.model import ReaderModel


class ReaderGenerateRunner:
    """A job's payload is a `Pair`; its result is the text. Every token is an event."""

    kind, streams, work = "kv", True, "reading"

    def __init__(self, model: ReaderModel) -> None:
        self.model = model
        shape = model.reader.transformer.config
        self.token_bytes = 2 * 4 * shape.layers * shape.hidden_size  # a key and a value, fp32

    def key(self, job: Job) -> Hashable:
        return "write"

    def estimate(self, job: Job) -> Estimate:
        return Estimate(2 + self.model.longest_answer)

    def reserve(self, job: Job) -> int:
        return self.token_bytes * (len(job.payload) + self.model.longest_answer)

    def release(self, job: Job) -> None:
        job.state = None

    def step(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                self._advance(job)
            except Exception as error:
                job.fail(error)

    def _advance(self, job: Job) -> None:
        if job.state is None:
            job.state = self.model.begin(job.payload)
        elif self.model.write(job.state):
            job.emit(self.model.tokenizer.decode(job.state.ids))
        else:
            job.finish(self.model.tokenizer.decode(job.state.ids))
