"""The server's defaults are safe, and sizes are written as people write them."""

import pytest
from pydantic import ValidationError

from mmgen.serve.settings import ServeConfig


def test_it_serves_this_machine_alone_and_fetches_nothing() -> None:
    assert ServeConfig().host == "127.0.0.1" and not ServeConfig().fetch_urls and ServeConfig().cors == ()
    assert ServeConfig(max_body="2 MiB").max_body == 2**21  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        ServeConfig(port=0)
