from mmgen.engine.job import Job, Request
from mmgen.engine.scheduling.fair_queues import JobQueue, KeyQueues, PriorityQueues, UserQueues
from mmgen.engine.scheduling.scheduler import PATIENCE, WEIGHTS, Entry


def entry(number: int, deadline: float | None = None) -> Entry:
    rank = 1000.0 + PATIENCE if deadline is None else deadline
    return rank, number, Job("count", None, Request(deadline=deadline), seed=0)


def queues(among: KeyQueues, priority: str, number: int) -> list[JobQueue]:
    among.size += number
    owner = PriorityQueues(1.0, user=UserQueues(1.0))
    return [JobQueue(owner, among.rows[priority], 1000.0, entry(place)) for place in range(number)]


def quantum(among: KeyQueues, most: int, unserved: int = 0) -> list[JobQueue]:
    among.begin()
    asked = among.ask(most)
    among.end(asked[most - unserved :])
    return asked


def test_a_queue_serves_deadlines_first_and_then_in_order() -> None:
    given = [entry(0), entry(1, 1020.0), entry(2), entry(3, 1010.0)]
    queue = JobQueue(PriorityQueues(1.0, user=UserQueues(1.0)), KeyQueues().rows["normal"], 1000.0, given[0])
    for one in given[1:]:
        queue.add(one)
    order = []
    for left in (True, True, True, False):
        order.append(queue.entry[1])
        assert queue.remove(queue.entry) is left
    assert order == [3, 1, 0, 2]


def test_the_first_queue_of_a_class_is_the_longest_unserved_or_one_with_a_near_deadline() -> None:
    owner, among = PriorityQueues(1.0, user=UserQueues(1.0)), KeyQueues()
    first, second, urgent = (
        JobQueue(owner, among.rows["normal"], 1000.0 + number, entry(number, deadline))
        for number, deadline in enumerate([None, None, 1055.0])
    )
    assert owner.first() is urgent
    urgent.remove(urgent.entry)
    assert owner.first() is first
    first.turn = 1005.0
    assert owner.first() is second
    first.add(entry(3, 1010.0))
    assert owner.first() is first


def test_a_queue_that_is_gone_keeps_no_job_alive() -> None:
    queue = JobQueue(PriorityQueues(1.0, user=UserQueues(1.0)), KeyQueues().rows["normal"], 1000.0, entry(0))
    queue.remove(queue.entry)
    assert not hasattr(queue, "job") and not hasattr(queue, "entry")


def test_everybody_is_asked_in_turn() -> None:
    among = KeyQueues()
    present = queues(among, "normal", 10)
    assert quantum(among, 4) + quantum(among, 4) + quantum(among, 4) == (2 * present)[:12]


def test_who_was_asked_and_found_no_room_is_asked_first_again() -> None:
    among = KeyQueues()
    present = queues(among, "normal", 10)
    assert quantum(among, 4, unserved=2) == present[:4]
    assert quantum(among, 4) == present[2:6]


def test_nobody_is_asked_twice_for_a_quantum_though_many_left() -> None:
    among = KeyQueues()
    present = queues(among, "normal", 30)
    for _ in range(3):
        quantum(among, 9)
    for queue in present[3:]:
        queue.remove(queue.entry)
    among.begin()
    assert sorted(map(id, among.ask(2) + among.ask(2) + among.ask(2))) == sorted(map(id, present[:3]))


def test_each_priority_is_asked_by_its_weight_and_leaves_no_room_empty() -> None:
    among = KeyQueues()
    for name in WEIGHTS:
        queues(among, name, 100)
    owners = {name: set(map(id, row.ask(100))) for name, row in among.rows.items()}
    assert [len(owners[name] & set(map(id, quantum(among, 65)))) for name in WEIGHTS] == [40, 20, 5]
    assert len(quantum(among, 260)) == 260
    uneven = KeyQueues()
    queues(uneven, "interactive", 100)
    queues(uneven, "batch", 1)
    assert len(quantum(uneven, 65)) == 65
