"""A sample begins with its prompt and is the same for the same seed."""

from pathlib import Path

import tiny_lm

from mmgen.models.lm.text_model import TextModel
from mmgen.training.eval.text_samples import write


def test_the_same_seed_gives_the_same_text(tmp_path: Path) -> None:
    model = TextModel.load(tiny_lm.make(tmp_path / "lm"))
    one, again, other = (write(model.lm, model.tokenizer, "the fox", 12, end=0, seed=seed) for seed in (1, 1, 2))
    assert one == again != other and one.startswith("the fox")
    assert write(model.lm, model.tokenizer, "the fox", 0, end=0) == "the fox"
