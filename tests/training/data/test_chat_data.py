"""Rows of three kinds as messages, and an order of examples that the seed alone decides."""

import pytest

from mmgen.errors import UnreadableFile
from mmgen.training.data import chat_data


def test_rows_of_three_kinds() -> None:
    wanted = [{"role": "user", "content": "who"}, {"role": "assistant", "content": "me"}]
    for row in ({"messages": wanted}, {"prompt": "who", "response": "me"}, {"instruction": "who", "output": "me"}):
        assert chat_data.messages_of(row, "row 1") == wanted
    row = {"instruction": "who", "input": "there", "output": "me"}
    assert chat_data.messages_of(row, "row 1")[0]["content"] == "who\n\nthere"
    with pytest.raises(UnreadableFile, match="row 7: there are neither messages"):
        chat_data.messages_of({"text": "x"}, "row 7")


def test_every_epoch_has_each_example_once_in_an_order_of_its_own() -> None:
    first, second = (chat_data.sample_examples("abcdefgh", range(at, at + 8), seed=3) for at in (0, 8))
    assert sorted(first) == sorted(second) == list("abcdefgh") and first != second
    assert chat_data.sample_examples("abcdefgh", range(4, 12), seed=3) == first[4:] + second[:4]
    assert chat_data.sample_examples("abcdefgh", range(8), seed=4) != first
