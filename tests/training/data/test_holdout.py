"""Held-out combinations: a tenth, the same whatever the order of a pair."""

import numpy as np

from mmgen.training.data.holdout import COUNTED, SHARE, HoldoutKeys

KEYS = HoldoutKeys.of([f"thing {n}" for n in range(60)])


def test_a_share_of_pairs_is_held_out_in_either_order() -> None:
    a, b = (part.ravel() for part in np.meshgrid(np.arange(60), np.arange(60)))
    layout, plain = np.ones_like(a), np.full_like(a, -1)
    found = KEYS.held_out(layout, a, b, plain)
    assert (found == KEYS.held_out(layout + 1, b, a, plain)).all()
    assert 0.5 / SHARE < found.mean() < 2 / SHARE


def test_single_things_are_shown_and_counts_and_colours_are_held_out() -> None:
    things, none = np.arange(60), np.full(60, -1)
    assert not KEYS.held_out(np.zeros(60, int), things, things, none).any()
    assert KEYS.held_out(np.full(60, COUNTED), things, things, none).any()
    assert KEYS.held_out(np.zeros(60, int), things, things, np.full(60, 2)).any()
