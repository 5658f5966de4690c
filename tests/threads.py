"""Threads for tests of code that shares its work out between them; `make test` gives a process one."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def two_threads() -> Iterator[None]:
    """torch, oneDNN and our kernels have two from here on."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(2, before))
    yield
    torch.set_num_threads(before)
