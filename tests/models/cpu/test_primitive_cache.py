"""oneDNN keeps no more kernels than it is told to, and is told what the environment says first."""

import os

import mmgen.models  # noqa: F401  its import sets the limit
from mmgen.models.cpu.primitive_cache import MOST, limit


def test_the_environment_comes_first() -> None:
    found = {"LRU_CACHE_CAPACITY": "7"}
    limit(found)
    assert found == {"LRU_CACHE_CAPACITY": "7", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": str(MOST)}


def test_it_is_set_before_any_model_is_there() -> None:
    assert int(os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"]) > 0 and int(os.environ["LRU_CACHE_CAPACITY"]) > 0
