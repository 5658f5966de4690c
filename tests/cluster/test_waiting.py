import pytest

from mmgen.cluster.waiting import FairWaiting
from mmgen.cluster.work import ClusterRequest


def asked(user: str, model: str = "m", cost_s: float = 1.0) -> ClusterRequest:
    made = ClusterRequest("", user, model)
    made.cost_s = cost_s
    return made


def served(waiting: FairWaiting, times: int, model: str = "m") -> str:
    users = ""
    for _ in range(times):
        _, request = waiting.first(model)
        waiting.take(request)
        users += request.user
    return users


def test_users_take_turns_by_weight_and_cost() -> None:
    waiting = FairWaiting()
    waiting.shares.weights["b"] = 2.0
    for _ in range(6):
        for user, cost in (("a", 1.0), ("b", 1.0), ("c", 3.0)):
            waiting.add(asked(user, cost_s=cost))
    users = served(waiting, 10)
    assert (users.count("a"), users.count("b"), users.count("c")) == (3, 6, 1)


def test_a_late_user_is_neither_ahead_nor_behind() -> None:
    waiting = FairWaiting()
    for _ in range(9):
        waiting.add(asked("a"))
    served(waiting, 5)
    for _ in range(4):
        waiting.add(asked("b"))
    assert served(waiting, 4).count("b") == 2


def test_what_requests_took_is_settled_at_the_next_one() -> None:
    waiting = FairWaiting()
    for _ in range(4):
        waiting.add(asked("a"))
    request = waiting.first("m")[1]
    waiting.take(request)
    waiting.settle(request, 0.25)
    served(waiting, 1)
    assert waiting.shares.flows["a"].virtual == pytest.approx(1.25)
    waiting.settle(request, -5.0)  # far less than one costs: the rest is for the one after
    served(waiting, 1)
    assert waiting.shares.flows["a"].virtual == pytest.approx(1.25)


def test_one_that_was_under_way_goes_first_and_is_not_charged_again() -> None:
    waiting, back = FairWaiting(), asked("a")
    back.charged = True
    waiting.add(asked("a"))
    waiting.add(back, first=True)
    assert waiting.first("m")[1] is back
    waiting.take(back)
    assert waiting.shares.flows["a"].virtual == 0.0 and len(waiting) == 1


def test_removing_leaves_nothing() -> None:
    waiting, requests = FairWaiting(), [asked("a"), asked("a"), asked("a", "other")]
    for one in requests:
        waiting.add(one)
    assert [waiting.remove(one) for one in (*requests[::-1], requests[0])] == [True, True, True, False]
    assert not waiting.models and not len(waiting)
