import os
import time
from pathlib import Path

import pytest

from mmgen.errors import NotFound
from mmgen.serve.temporary_files import KEPT_S, TemporaryFiles


def test_a_file_is_for_its_user(tmp_path: Path) -> None:
    kept = TemporaryFiles(tmp_path)
    name = kept.add("ann", b"data", "png")
    assert kept.path("ann", name).read_bytes() == b"data" and len(name) > 24
    with pytest.raises(NotFound):
        kept.path("bob", name)


def test_old_files_are_gone(tmp_path: Path) -> None:
    kept = TemporaryFiles(tmp_path)
    name = kept.add("ann", b"data", "png")
    path = kept.path("ann", name)
    os.utime(path, (0, time.time() - KEPT_S - 1))
    with pytest.raises(NotFound, match="for an hour"):
        kept.path("ann", name)
    kept.add("bob", b"data", "webp")
    assert not path.exists()


@pytest.mark.parametrize("name", ["../../secret.png", "", ".", "x.png", "a" * 24 + ".exe", "a/" + "b" * 24 + ".png"])
def test_other_names_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    with pytest.raises(NotFound):
        TemporaryFiles(tmp_path / "files").path("ann", name)
