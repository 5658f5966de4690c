import random
from collections import Counter, defaultdict

import pytest

from mmgen.cluster.prefixes import BLOCK, chain
from mmgen.cluster.replica_state import ModelInfo, ReplicaState
from mmgen.cluster.router import ALONE, ClusterRouter
from mmgen.cluster.work import ClusterRequest, SentTo
from mmgen.errors import BadRequest, Clash, NotFound, TooLarge


def router(replicas: int = 2, models: str = "a", loaded: str = "a", window_s: float = 2.0, **options: object) -> ClusterRouter:
    """Models are letters; a unit takes 50 ms until something is known."""
    made = ClusterRouter({model: ModelInfo(100, 5.0) for model in models}, window_s, rng=random.Random(0))
    for number in range(replicas):
        state = ReplicaState(f"r{number}", frozenset(models), **options)  # type: ignore[arg-type]
        state.models.update(dict.fromkeys(loaded, 100))
        made.join(state)
    return made


def asked(number: int, user: str = "ann", model: str = "a", units: float = 10.0, text: str = "") -> ClusterRequest:
    return ClusterRequest(f"{user}{number}", user, model, units, chain(text))


def submit(made: ClusterRouter, *requests: ClusterRequest) -> list[SentTo]:
    for one in requests:
        made.submit(one)
    return list(made.ready())


def test_work_spreads_by_predicted_finish() -> None:
    made = router(4, window_s=10.0)
    sent = submit(made, *(asked(number) for number in range(40)))
    counts = Counter(one.replica for one in sent)
    assert len(sent) == 40 and max(counts.values()) <= 13, "two choices: far from one at random"
    assert made.queue_s(frozenset("a")) == pytest.approx(20.0)


def test_what_comes_before_the_first_replica_waits_for_it() -> None:
    made = ClusterRouter({"a": ModelInfo()}, rng=random.Random(0))
    assert submit(made, asked(0)) == []
    made.join(ReplicaState("r0", frozenset("a")))
    assert [one.replica for one in made.ready()] == ["r0"]


def test_what_has_no_room_waits_and_goes_on_when_something_is_done() -> None:
    made = router(2, window_s=1.0)
    sent = submit(made, *(asked(number) for number in range(10)))
    assert len(sent) == 4 and len(made.waiting) == 6, "half a second each: two on each replica"
    made.finished(sent[0].request, 500.0)
    again = list(made.ready())
    assert [one.replica for one in again] == [sent[0].replica]


def test_a_request_goes_where_its_beginning_is_cached() -> None:
    text = "x" * (4 * BLOCK)
    made = router(16, window_s=60.0)
    first = submit(made, asked(0, text=text))[0]
    made.finished(first.request)
    for number in range(1, 9):
        later = submit(made, asked(number, text=text + str(number)))[0]
        assert later.replica == first.replica and later.request.cached == 1.0
        made.finished(later.request)
    submit(made, asked(9, text=text))
    made.leave(first.replica)
    assert {one.replica for one in made.ready()}.isdisjoint({first.replica}), "and elsewhere once that is gone"


def test_a_cached_beginning_is_no_reason_to_wait_long() -> None:
    text = "x" * (4 * BLOCK)
    made = router(4, window_s=60.0)
    sent = submit(made, *(asked(number, text=text) for number in range(40)))
    assert len({one.replica for one in sent}) == 4


def test_a_model_is_loaded_where_it_is_nowhere_and_spreads_when_it_has_to() -> None:
    made = router(4, models="ab", loaded="a")
    sent = submit(made, asked(0, model="b"))
    assert sent[0].loads and sent[0].finish_s == pytest.approx(5.5) and made.moves == 1
    more = submit(made, *(asked(number, model="b") for number in range(1, 4)))
    assert made.moves == 1 and {one.replica for one in more} == {sent[0].replica}, "a second load would take longer"
    submit(made, *(asked(number, model="b") for number in range(4, 40)))
    assert 2 <= made.moves <= 4, "now it takes less than waiting"


def test_memory_evicts_what_is_idle_and_never_what_is_in_use() -> None:
    made = router(1, models="abc", loaded="ab", memory=200)
    in_use = submit(made, asked(0, model="b"))[0]
    assert submit(made, asked(1, model="c"))[0].loads
    assert list(made.replicas["r0"].models) == ["b", "c"]
    assert submit(made, asked(2, model="a")) == [], "both are in use"
    made.finished(in_use.request, None)
    assert [one.request.model for one in made.ready()] == ["a"]
    assert list(made.replicas["r0"].models) == ["c", "a"]


def test_what_finds_no_memory_gets_a_replica_that_empties_once_others_had_their_turn() -> None:
    made = router(1, models="abc", loaded="ab", memory=200, window_s=5.0)
    of_both = [asked(number, ("ann", "bob")[number % 2], "ab"[number % 2]) for number in range(300)]
    busy, more = submit(made, *of_both[:40]), iter(of_both[40:])
    assert submit(made, asked(90, "zoe", "c")) == [] and len(busy) == 10
    turns = 0
    while not made.replicas["r0"].reserved and turns < 100:
        made.finished(busy.pop(0).request, 500.0)
        busy += submit(made, next(more))
        turns += 1
    assert 15 <= turns <= 25, "others run for twice as long as loading takes"
    sent = []
    for one in list(busy):
        made.finished(one.request, 500.0)
        sent += submit(made, next(more))
    (first,) = [one for one in sent if one.request.user == "zoe"]
    assert first.loads and sent[0] is first and not made.replicas["r0"].reserved


def test_models_that_do_not_fit_together_do_not_thrash() -> None:
    """Two of three fit on each of two replicas, loading takes ten times as long as a request, and all are asked for."""
    made = router(2, models="abc", loaded="ab", window_s=2.0, memory=200)
    served, number, under_way = Counter[str](), 0, list[ClusterRequest]()
    while sum(served.values()) < 900:
        for model in "abc":
            while (queue := made.waiting.models.get(model)) is None or queue.seconds < 10.0:
                number += 1
                made.submit(asked(number, f"user of {model}", model))
        under_way += [sent.request for sent in made.ready()]
        done = under_way.pop(0)
        served[done.model] += 1
        made.finished(done, 500.0)
    assert made.moves <= 450 / (2 * 2 * 5.0) + 3, "a load pays by what is served before the next one"
    assert min(served.values()) > 100, "none of them waits for ever"


def test_a_copy_pays_for_what_has_to_go() -> None:
    """Other holders have room in a moment; b's last copy stays."""
    made = router(2, models="ab", loaded="", window_s=1.0, memory=100)
    made.report("r0", {"a": 100})
    made.report("r1", {"b": 100})
    sent = submit(made, *(asked(number) for number in range(6)))
    assert {one.replica for one in sent} == {"r0"} and len(made.waiting) == 4 and not made.moves
    sent = submit(made, *(asked(number) for number in range(6, 40)))
    assert [(one.replica, one.loads) for one in sent][:1] == [("r1", True)], (
        "now they would wait for longer than both loads take"
    )


def test_lost_requests_come_first_and_are_charged_once() -> None:
    made = router(2, window_s=1.0)
    sent = submit(made, *(asked(number) for number in range(8)))
    virtual = made.waiting.shares.flows["ann"].virtual
    dead = sent[0].replica
    lost = made.leave(dead)
    assert lost == [one.request for one in sent if one.replica == dead]
    for one in [one.request for one in sent if one.replica != dead]:
        made.finished(one, 500.0)
    again = list(made.ready())
    assert [one.request for one in again] == lost and all(one.request.plays == 2 for one in again)
    assert made.waiting.shares.flows["ann"].virtual == virtual
    made.finished(lost[0], 500.0)
    made.finished(lost[0], 500.0)
    assert len(made.replicas[again[0].replica].sent) == 1, "a second end is none"


def test_what_kills_its_replicas_takes_no_other_request_with_it() -> None:
    """It is with others until it is suspected; then it has a replica for itself, and so has each that was there."""
    made = router(3, window_s=60.0)
    killer, others = asked(0, user="eve"), [asked(number, user=f"user{number}") for number in range(9)]
    sent, done, joined = submit(made, killer, *others), set[str](), 3
    while killer.plays < 12:
        (where,) = [one.replica for one in sent if one.request is killer and one.replica in made.replicas]
        if killer.plays > ALONE:
            assert list(made.replicas[where].sent.values()) == [killer]
        made.leave(where)
        state = ReplicaState(f"r{joined}", frozenset("a"))
        state.models["a"], joined = 100, joined + 1
        made.join(state)
        sent = [one for one in sent if one.replica in made.replicas] + list(made.ready())
        if killer.plays > ALONE + 3:  # what is elsewhere ends some time
            for one in [one for one in others if one.replica]:
                made.finished(one, 500.0)
                done.add(one.id)
            sent += made.ready()
    assert done == {one.id for one in others} and all(one.plays <= ALONE + 1 for one in others)


def test_a_replica_is_emptied_for_what_goes_alone() -> None:
    made = router(1, window_s=60.0)
    early = [asked(number, user=f"user{number}") for number in range(3)]
    submit(made, *early)
    suspect, late = asked(9, user="eve"), asked(8, user="zoe")
    suspect.plays = ALONE
    assert submit(made, suspect) == [] and submit(made, late) == [], "nothing new goes there"
    for one in early:
        assert list(made.ready()) == []
        made.finished(one, 500.0)
    assert [one.request for one in made.ready()] == [suspect] and made.replicas["r0"].alone
    made.finished(suspect, 500.0)
    assert [one.request for one in made.ready()] == [late] and not made.replicas["r0"].alone
    again = asked(7, user="eve")
    again.plays = ALONE
    assert submit(made, again) == []
    made.cancel(again)
    made.leave("r0")
    assert made._emptied is None and len(made.waiting) == 1


def test_cancelled_ones_are_nowhere() -> None:
    made = router(1, window_s=1.0)
    requests = [asked(number) for number in range(4)]
    submit(made, *requests)
    for one in requests:
        made.cancel(one)
    assert not len(made.waiting) and not made.replicas["r0"].sent and made.queue_s(frozenset("a")) == 0.0
    assert submit(made, asked(9))


def test_a_draining_replica_gets_nothing_new() -> None:
    made = router(2)
    made.drain("r0")
    assert {one.replica for one in submit(made, *(asked(number) for number in range(4)))} == {"r1"}


def test_reports_correct_what_was_guessed() -> None:
    made = router(2, models="ab", loaded="a")
    made.report("r0", {"b": 100})
    assert {one.replica for one in submit(made, asked(0))} == {"r1"}
    assert submit(made, asked(1, model="b"))[0].replica == "r0" and not made.moves


def test_errors_say_what_to_do() -> None:
    made = router(1, models="ab", loaded="", memory=60)
    with pytest.raises(TooLarge, match=r"a takes 100 bytes, the largest replica it is placed on has 60; place it on"):
        made.submit(asked(0))
    with pytest.raises(NotFound, match='no replica may hold "z"; place it'):
        made.submit(asked(0, model="z"))
    with pytest.raises(Clash, match='already a replica "r0"'):
        made.join(ReplicaState("r0", frozenset("a")))
    with pytest.raises(BadRequest, match="must be above 0"):
        made.set_weight("ann", 0)


@pytest.mark.parametrize(("weights", "wrong"), [((1.0, 1.0), 0.0), ((3.0, 1.0), 0.0), ((1.0, 1.0), 0.5)])
def test_shares_of_two_users_stay_within_the_bound(weights: tuple[float, float], wrong: float) -> None:
    """Four replicas; zoe's requests come in bursts and are five times as long, ann's a hundred at a time. `wrong`: by how much
    requests take longer or shorter than their like."""
    rng, made = random.Random(1), router(4, window_s=1.0)
    for user, weight in zip(("ann", "zoe"), weights, strict=True):
        made.set_weight(user, weight)
    served, number, worst = defaultdict[str, float](float), 0, 0.0
    ends: list[tuple[float, int, ClusterRequest]] = []
    now = 0.0
    for _ in range(1500):
        for user, units in (("ann", 2.0), ("zoe", 10.0)):
            while len(made.waiting.models["a"].users.get(user, ()) if made.waiting.models else ()) < 30:
                for _ in range(rng.choice((1, 60))):
                    number += 1
                    made.submit(asked(number, user, units=units))
        for sent in made.ready():
            took = sent.request.units * 0.05 * rng.uniform(1 - wrong, 1 + wrong)
            ends.append((now + took, len(ends), sent.request))
        ends.sort(key=lambda one: one[0])
        now, _, request = ends.pop(0)
        served[request.user] += request.units * 0.05
        made.finished(request, request.units * 50.0)
        worst = max(worst, abs(served["ann"] / weights[0] - served["zoe"] / weights[1]))
    assert served["ann"] > 50 and worst <= made.bound_s(0.5)


def test_a_decision_looks_at_few_however_many_there_are() -> None:
    """Of the cost of a decision what can be counted: replicas and queues seen for it."""

    def looks(replicas: int, waiting: int) -> float:
        made = router(replicas, models="abcd", loaded="ab", window_s=1.0)
        rng = random.Random(0)
        for number in range(waiting):
            made.submit(asked(number, f"user{number % 100}", rng.choice("abcd"), text="x" * rng.randint(0, 9 * BLOCK)))
        sent, before = [one.request for one in made.ready()], (made.looked_at, made.decisions)
        for one in sent[:50]:
            made.finished(one, 500.0)
            list(made.ready())
        return (made.looked_at - before[0]) / (made.decisions - before[1])

    assert looks(64, 3000) <= looks(8, 500) + 4 < 20
