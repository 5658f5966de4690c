"""Memory of large pages: zeroed, aligned, side by side, given back when all that lies in it is gone."""

import gc

import torch

from mmgen.models.cpu import huge_pages


def test_side_by_side_and_given_back() -> None:
    huge_pages._open.clear()
    one, other = huge_pages.zeros(100), huge_pages.zeros(7)
    assert not one.any() and one.dtype is torch.uint8 and len(one) == 100
    assert other.data_ptr() == one.data_ptr() + 128 and one.data_ptr() % 64 == 0
    slab = huge_pages._open[0][0]
    one.fill_(3)
    kept = one[:1]
    del one, other
    gc.collect()
    assert slab() is not None and kept[0] == 3
    del kept
    gc.collect()
    assert slab() is None
    assert not huge_pages.zeros(1).any() and not len(huge_pages.zeros(0))


def test_more_than_a_slab() -> None:
    large = huge_pages.zeros(huge_pages.SLAB + 1)
    assert len(large) == huge_pages.SLAB + 1 and not large[-1]
    assert len(huge_pages.zeros(5)) == 5
