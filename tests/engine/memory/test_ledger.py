import pytest

from mmgen.engine.memory.ledger import Ledger
from mmgen.errors import BadRequest, TooLarge


def test_account() -> None:
    ledger = Ledger(100)
    assert ledger.reserve("a", 60, "weights") and ledger.reserve("b", 40, "rows")
    assert not ledger.reserve("c", 1, "rows")
    assert ledger.by_kind() == {"weights": 60, "rows": 40}
    ledger.release("a")
    ledger.release("a")
    assert ledger.held == 40 and ledger.reserve("c", 60, "rows")


def test_no_limit_is_still_an_account() -> None:
    ledger = Ledger()
    assert ledger.reserve("a", 10**15, "rows") and ledger.held == 10**15
    ledger.check(10**18, "anything")


def test_what_can_never_fit() -> None:
    with pytest.raises(TooLarge, match=r"image needs 101 bytes, the device's limit is 100"):
        Ledger(100).check(101, "image")


def test_an_owner_books_once() -> None:
    ledger = Ledger()
    ledger.reserve("a", 1, "rows")
    with pytest.raises(RuntimeError):
        ledger.reserve("a", 1, "rows")


def test_negative_limit() -> None:
    with pytest.raises(BadRequest):
        Ledger(-1)


def test_what_is_free() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 60, "weights")
    assert ledger.free == 40 and Ledger().free is None
    assert ledger.fits_ever(100) and not ledger.fits_ever(101)


def test_negative_bytes_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="image asks for -1 bytes"):
        Ledger(100).check(-1, "image")
