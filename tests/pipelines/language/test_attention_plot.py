"""A map's dots stand where its weights are."""

import numpy as np

from mmgen.pipelines.language.attention_plot import GAP, INK, LETTERS, PAPER, attention_image


def test_dots() -> None:
    weights = np.zeros((2, 3, 4, 4), dtype=np.float32)
    weights[1, 2, 3, 0] = 1
    page = attention_image(weights, ["The", "lens", "\n", "antidisestablishmentarianism"])
    dot = 264 // 4
    left, width, height = LETTERS * 12 // 2 + 2 * GAP, 4 * dot + GAP, 4 * dot + GAP + LETTERS
    x, y = left + 2 * width, GAP + height + LETTERS + 3 * dot
    assert page.getpixel((x + dot // 2, y + dot // 2)) == INK
    assert page.getpixel((x + dot + dot // 2, y + dot // 2)) == PAPER
    assert page.size == (left + 3 * width + GAP, GAP + 2 * height + left)


def test_rows_and_columns_may_differ_and_long_texts_fit() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(300), (1, 2, 40)).astype(np.float32)
    page = attention_image(weights, [f"w{i}" for i in range(40)], [f"k{i}" for i in range(300)])
    assert page.width > 600 and page.height < 200
    assert len(set(np.asarray(page).reshape(-1, 3)[:, 0].tolist())) > 20
