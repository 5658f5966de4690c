"""What may be kept of a request."""

import base64
import hashlib
import json
import secrets

from mmgen.stores.redaction import kept, words

KEY = f"mm-{secrets.token_urlsafe(32)}"


def test_words_and_values_stay() -> None:
    value = {"prompt": "a red apple", "n": 2, "seed": None, "on": True, "messages": [{"content": "Bearer of bad news"}]}
    assert kept(value) == value
    assert list(words(kept(value))) == ["a red apple", "Bearer of bad news"]


def test_secrets_do_not() -> None:
    value = {"headers": {"Authorization": f"Bearer {KEY}", "api_key": "x", "accept": "y"}, "prompt": f"my key is {KEY}, see?"}
    assert kept(value) == {"headers": {"accept": "y"}, "prompt": "my key is mm-***, see?"}
    assert KEY not in json.dumps(kept({KEY: [KEY, {"a": KEY}]}))


def test_bytes_become_their_hash() -> None:
    data = secrets.token_bytes(3000)
    expected = f"sha256:{hashlib.sha256(data).hexdigest()} (3,000 bytes)"
    text = base64.b64encode(data).decode()
    assert kept([data, bytearray(data), text, f"data:image/png;base64,{text}"]) == [expected] * 4
    assert kept("data:image/png;base64,!") == kept("data:image/png;base64,!"), "and what is no Base64 too"
    assert kept("A" * 1000) == "A" * 1000 and "!" not in kept("data:a;base64,!")


def test_anything_can_be_stored_and_read_again() -> None:
    deep: list[object] = []
    for _ in range(5000):
        deep = [deep]
    for value in (float("nan"), {"a": float("inf")}, "\ud800", {"\udfff": 1}, {1: object()}, deep, (1, {2})):
        text = json.dumps(kept(value), ensure_ascii=False, allow_nan=False)
        assert json.loads(text.encode()) == kept(value)
