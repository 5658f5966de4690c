"""Statuses of errors, out of memory by whatever library, and names that were nearly right."""

from mmgen.errors import BadRequest, Busy, MmgenError, TooLong, nearest, out_of_memory


def test_every_error_has_a_status_of_http() -> None:
    assert BadRequest.status == 400 and TooLong.status == 413 and Busy.status == 429
    assert all(400 <= kind.status < 600 for kind in MmgenError.__subclasses__())


def test_out_of_memory_is_known_by_name() -> None:
    class OutOfMemoryError(RuntimeError):
        """As torch's."""

    assert out_of_memory(OutOfMemoryError()) and out_of_memory(MemoryError()) and not out_of_memory(RuntimeError("memory"))


def test_the_nearest_name() -> None:
    assert nearest("txt2imgs", ["txt2img", "text"]) == ' (did you mean "txt2img"?)' and nearest("zzz", ["txt2img"]) == ""
