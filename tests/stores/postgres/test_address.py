"""An address gives libpq what is its own, and people what is no secret."""

import pytest

from mmgen.errors import BadRequest
from mmgen.stores.postgres.address import parsed


@pytest.mark.parametrize(
    ("url", "conninfo", "schema", "shown"),
    [
        ("postgres://me@db/notes", "postgresql://me@db/notes", "mmgen", "postgres://me@db/notes"),
        ("postgresql://me:s3cret@db:6543/notes", "postgresql://me:s3cret@db:6543/notes", "mmgen", "postgresql://me@db:6543/notes"),
        ("postgres://me:a%40b@db/x?schema=team_1&sslmode=require", "postgresql://me:a%40b@db/x?sslmode=require", "team_1",
         "postgres://me@db/x?sslmode=require&schema=team_1"),
        ("postgres:///x?host=/run/pg&password=s3cret", "postgresql:///x?host=%2Frun%2Fpg&password=s3cret", "mmgen",
         "postgres:///x?host=/run/pg"),
        ("postgres://[::1]/x", "postgresql://[::1]/x", "mmgen", "postgres://[::1]/x"),
    ],
)  # fmt: skip
def test_an_address(url: str, conninfo: str, schema: str, shown: str) -> None:
    address = parsed(url)
    assert (address.conninfo.replace("%2F", "/"), address.schema) == (conninfo.replace("%2F", "/"), schema)
    assert str(address) == address.shown == shown and "s3cret" not in f"{shown}{address!r}"


@pytest.mark.parametrize("url", ["http://me@db/x", "notes", "postgres://me:s3cret@db/x?schema=No"])
def test_no_address(url: str) -> None:
    with pytest.raises(BadRequest, match=r"write postgres://user@host/database|give small letters, digits and _") as told:
        parsed(url)
    assert "s3cret" not in str(told.value)
