"""The file of those who may take part."""

from pathlib import Path

import pytest

from mmgen.errors import BadRequest, NotFound
from mmgen.training.federated import tokens


def test_made_once(tmp_path: Path) -> None:
    made = tokens.read_or_make(tmp_path / "run" / "tokens", ["b", "a"])
    assert set(made) == {"a", "b"} and made["a"] != made["b"] and tokens.read(tmp_path / "run" / "tokens") == made
    assert tokens.read_or_make(tmp_path / "run" / "tokens", ["c"]) == made
    assert (tmp_path / "run" / "tokens").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "holds no client"), ("a short\n", "line 1 is no name and token"),
     (f"a {'x' * 20}\n\na {'y' * 20}", "line 3 has the name"),
     (f"a {'x' * 20}\nb {'x' * 20}", "line 2 has the name or token"), (f"../a {'x' * 20}", "line 1 is no name")],
)  # fmt: skip
def test_what_is_no_file_of_tokens(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(text)
    with pytest.raises(BadRequest, match=told):
        tokens.read(tmp_path / "tokens")


def test_nothing_to_make_it_of(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        tokens.read(tmp_path / "none")
    with pytest.raises(BadRequest, match="name the recipe's clients"):
        tokens.read_or_make(tmp_path / "none", [])
    with pytest.raises(BadRequest, match="'a b' is no name"):
        tokens.read_or_make(tmp_path / "none", ["a b"])
