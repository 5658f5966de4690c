"""Errors as the OpenAI API tells them."""

import errno
import sqlite3

import pytest

from mmgen.errors import Busy, Forbidden, JobFailed, MmgenError, NotFound, TooLarge, TooLong, Unauthorized
from mmgen.serve import errors


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (TooLong("x"), 400, "invalid_request_error", "context_length_exceeded"),
        (TooLarge("x"), 413, "invalid_request_error", "request_too_large"),
        (NotFound("x"), 404, "invalid_request_error", "not_found"),
        (errors.UnknownModel("x"), 404, "invalid_request_error", "model_not_found"),
        (Unauthorized("x"), 401, "invalid_request_error", "invalid_api_key"),
        (Forbidden("x"), 403, "invalid_request_error", "insufficient_permissions"),
        (Busy("x"), 429, "rate_limit_error", "rate_limit_exceeded"),
        (MmgenError("x"), 400, "invalid_request_error", None),
    ],
)
def test_status_type_and_code(error: MmgenError, status: int, kind: str, code: str | None) -> None:
    told = errors.error_body(error)["error"]
    assert (errors.status(error), told["type"], told["code"], told["message"]) == (status, kind, code, "x")


def test_our_own_faults_say_nothing_of_the_inside() -> None:
    for error in (JobFailed("text failed: KeyError: /home/ann"), KeyError("/home/ann")):
        assert "ann" not in errors.response(error).body.decode() and errors.response(error).status_code == 500


def test_when_to_come_back() -> None:
    assert errors.response(errors.RetryLater("x", 2.2)).headers["retry-after"] == "3"
    assert errors.response(errors.RetryLater("x"), 0.1).headers["retry-after"] == "1"
    assert errors.response(Busy("x"), 4.0).headers["retry-after"] == "4"
    assert errors.response(Unauthorized("x")).headers["www-authenticate"] == "Bearer"


def test_a_full_disk_is_told_as_one() -> None:
    for error in (OSError(errno.ENOSPC, "No space left on device"), sqlite3.OperationalError("database or disk is full")):
        answer = errors.response(error)
        assert answer.status_code == 507 and b"disk is full" in bytes(answer.body)
    assert errors.response(PermissionError(errno.EACCES, "/home/ann")).status_code == 500


def test_what_no_answer_can_hold() -> None:
    assert b"the model ?" in bytes(errors.response(NotFound("the model \ud800")).body)
