import io

import pytest
from starlette.datastructures import UploadFile

from mmgen.errors import TooLarge
from mmgen.serve import uploads


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("notes.txt", "notes.txt"), ("../../etc/passwd", "passwd"), ("C:\\Users\\me\\a b.txt", "a b.txt"), ("..", ""), ("", ""),
        ("a\0b\nc.txt", "a b c.txt"), ("/", ""), ("x" * 300, "x" * 200), ("\ud800.txt", "txt"), (".env", "env"),
    ],
)  # fmt: skip
def test_a_name_is_no_path(given: str, expected: str) -> None:
    assert uploads.bare(given) == expected


async def test_no_more_than_the_limit_is_read() -> None:
    def upload() -> UploadFile:
        return UploadFile(io.BytesIO(b"x" * 100), filename="a.bin")

    assert await uploads.data_of(upload(), 100) == b"x" * 100
    with pytest.raises(TooLarge, match=r"a\.bin is larger"):
        await uploads.data_of(upload(), 99)
