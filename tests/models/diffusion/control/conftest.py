"""A runtime for the tests of a module."""

from collections.abc import Iterator

import pytest

from mmgen.config import RuntimeConfig
from mmgen.runtime import Runtime


@pytest.fixture(scope="module")
def rt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(home=tmp_path_factory.mktemp("home"), device="cpu")) as runtime:
        yield runtime
