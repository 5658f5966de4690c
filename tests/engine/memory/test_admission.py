import pytest

from mmgen.engine.job import Job, Request
from mmgen.engine.memory.admission import Admission
from mmgen.engine.memory.ledger import Ledger


def job(user: str = "ann") -> Job:
    return Job("count", None, Request(user=user))


@pytest.fixture
def admission() -> Admission:
    return Admission(Ledger(10))


def test_the_first_that_does_not_fit_holds_back_the_rest(admission: Admission) -> None:
    holder, large, small = job(), job(), job()
    for one, nbytes in ((holder, 5), (large, 8), (small, 1)):
        admission.add(one, nbytes)
    assert admission.next() is holder
    assert admission.next() is None and admission.first is large
    assert admission.shortage(large) == "this count job needs 8 bytes, 5 are free; try again later"
    admission.remove(holder)
    assert [admission.next(), admission.next(), admission.next()] == [large, small, None]
    assert len(admission) == 0 and admission.ledger.by_kind() == {"count": 9}


def test_whoever_is_first_stays_first(admission: Admission) -> None:
    """Ann's small jobs have deadlines, and Bob has had less: a large job waits for neither."""
    holder, large = job(), job()
    admission.add(holder, 6)
    admission.add(large, 8)
    assert admission.next() is holder and admission.next() is None
    admission.add(Job("count", None, Request(user="ann", deadline=1.0)), 1)
    admission.add(job("bob"), 1)
    assert admission.next() is None
    admission.remove(holder)
    assert admission.next() is large


def test_users_share_the_bytes() -> None:
    """Ann asks for much and first; Bob gets as many bytes as she does."""
    admission, order = Admission(Ledger()), []
    for nbytes, user in ((4, "ann"),) * 6 + ((1, "bob"),) * 12:
        admission.add(job(user), nbytes)
    while (one := admission.next()) is not None:
        order.append(one.request.user)
    assert order[:10].count("ann") == 2 and order[:10].count("bob") == 8
    assert order.count("ann") == 6 and order.count("bob") == 12


def test_weights_count_for_bytes(admission: Admission) -> None:
    admission.set_weight("bob", 4)
    for user in ("ann", "bob") * 10:
        admission.add(job(user), 1)
    let_in = [one.request.user for one in iter(admission.next, None)]
    assert let_in.count("bob") == 8 and let_in.count("ann") == 2


def test_who_ends_while_waiting_is_forgotten(admission: Admission) -> None:
    holder, first, second = job(), job(), job()
    for one in (holder, first, second):
        admission.add(one, 10)
    assert admission.next() is holder and admission.next() is None
    admission.remove(second)
    admission.remove(first)
    admission.remove(holder)
    assert admission.first is None and admission.next() is None
    assert len(admission) == 0 and admission.ledger.held == 0 and not admission._bytes
