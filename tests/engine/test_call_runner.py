from mmgen.engine.call_runner import CallRunner
from mmgen.engine.job import Job


def test_a_function_is_a_quantum_of_its_own() -> None:
    runner, jobs = CallRunner(), [Job("call", lambda: 1), Job("call", lambda: 2)]
    assert runner.key(jobs[0]) != runner.key(jobs[1]), "two functions never share a step"
    assert [runner.reserve(job) for job in jobs] == [0, 0]
    runner.step(jobs)
    assert [job.future.result(0) for job in jobs] == [1, 2]
    runner.release(jobs[0])
