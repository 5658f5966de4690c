"""A server and its clients over TLS on the loopback: what is answered, what comes late, and who is turned away."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import certificates
import pytest
import torch

from mmgen.errors import BadRequest, MmgenError, NotFound, Unauthorized, Unreachable
from mmgen.training.federated import network_fleet
from mmgen.training.federated.connection import ServerConnection
from mmgen.training.federated.messages import Message
from mmgen.training.federated.network_fleet import NetworkFleet

TOKENS = {"a": "a-token-of-the-first", "b": "a-token-of-the-other"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificates.pair(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def address() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def fleet(address: socket.socket, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[NetworkFleet]:
    monkeypatch.setattr(network_fleet, "POLL_S", 0.05)
    found = NetworkFleet(TOKENS, "digest", address, 30.0, ssl_certfile=str(pair[0]), ssl_keyfile=str(pair[1]))
    yield found
    found.finished = True
    found.close()
    for client in Client.started:
        client.join(20)
        assert not client.is_alive()
    Client.started.clear()


class Client(threading.Thread):
    """Answers with what `handle` makes of a question."""

    started: ClassVar[list["Client"]] = []

    def __init__(
        self, listener: socket.socket, ca: Path, name: str, handle: Callable[[Message], Message], digest: str = "digest"
    ) -> None:
        super().__init__(daemon=True)
        self.error: MmgenError | None = None
        self.handle = handle
        port = listener.getsockname()[1]
        self.connection = ServerConnection(f"https://127.0.0.1:{port}", TOKENS.get(name, name), digest, ca, patience=5.0)
        self.started.append(self)
        self.start()

    def run(self) -> None:
        try:
            self.connection.serve(self.handle)
        except MmgenError as why:
            self.error = why


def doubled(question: Message) -> Message:
    return Message("fit", question.round, {"examples": 3}, {name: 2 * one for name, one in question.tensors.items()})


def refusing(question: Message) -> Message:
    raise BadRequest("no data today")


def test_clients_answer_over_tls(fleet: NetworkFleet, address: socket.socket, pair: tuple[Path, Path]) -> None:
    clients = [Client(address, pair[0], "a", doubled), Client(address, pair[0], "b", refusing)]
    fleet.wait_for(2)
    for number in range(2):
        found = fleet.ask({name: Message("fit", number, {}, {"w": torch.tensor([1.5])}) for name in TOKENS})
        first, other = found["a"], found["b"]
        assert isinstance(first, Message) and isinstance(other, Message)
        assert first.round == number and first.tensors["w"].tolist() == [3.0]
        assert (other.kind, other.values) == ("failed", {"why": "no data today"})
    fleet.finished = True
    fleet.close()
    for client in clients:
        client.join(20)
        assert client.error is None and not client.is_alive()


def test_a_client_waits_for_a_server_that_stops(
    fleet: NetworkFleet, address: socket.socket, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_fleet, "POLL_S", 20.0)
    client = Client(address, pair[0], "a", doubled)
    fleet.wait_for(1)
    with socket.create_server(("127.0.0.1", 0)) as other:
        client.connection.address = f"https://127.0.0.1:{other.getsockname()[1]}"  # where the server starts again
        fleet.close()
        again = NetworkFleet(TOKENS, "digest", other, 30.0, ssl_certfile=str(pair[0]), ssl_keyfile=str(pair[1]))
        again.wait_for(1)
        found = again.ask({"a": Message("fit", 7, {}, {"w": torch.ones(1)})})["a"]
        again.finished = True
        again.close()
    assert isinstance(found, Message) and found.round == 7
    client.join(20)
    assert client.error is None


def test_a_late_answer_does_not_count(
    fleet: NetworkFleet, address: socket.socket, pair: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    release, began = threading.Event(), threading.Event()

    def slow(question: Message) -> Message:
        if question.round == 0:
            began.set()
            assert release.wait(20)
        return doubled(question)

    Client(address, pair[0], "a", slow)
    fleet.wait_for(1)
    fleet._seconds = 0.3
    found = fleet.ask({name: Message("fit", 0, {}, {"w": torch.ones(1)}) for name in TOKENS})
    assert found["b"] == "not connected" and found["a"] in (network_fleet.LATE, "it did not come for its work")
    if found["a"] == network_fleet.LATE:
        assert began.is_set()
    release.set()
    fleet._seconds = 30.0
    again = fleet.ask({"a": Message("fit", 1, {}, {"w": torch.ones(1)})})["a"]
    assert isinstance(again, Message) and again.round == 1


def test_garbage_is_an_answer_that_says_so(fleet: NetworkFleet, address: socket.socket, pair: tuple[Path, Path]) -> None:
    class Garbage(Message):
        def encode(self) -> bytes:
            return b"garbage" * (5 if self.round == 0 else 2**18)

    Client(address, pair[0], "a", lambda question: Garbage("fit", question.round))
    fleet.wait_for(1)
    assert "35 bytes are no message" in str(fleet.ask({"a": Message("fit", 0)})["a"])
    assert "over 1,048,576 bytes" in str(fleet.ask({"a": Message("fit", 1)})["a"])


@pytest.mark.parametrize(
    ("name", "digest", "kind", "told"),
    [("wrong", "digest", Unauthorized, "token is unknown"), ("a", "other", BadRequest, "another recipe than the server")],
)
def test_who_is_turned_away(
    name: str,
    digest: str,
    kind: type[MmgenError],
    told: str,
    fleet: NetworkFleet,
    address: socket.socket,
    pair: tuple[Path, Path],
) -> None:
    client = Client(address, pair[0], name, doubled, digest)
    client.join(20)
    assert isinstance(client.error, kind) and told in str(client.error)


def test_another_certificate_is_not_trusted(fleet: NetworkFleet, address: socket.socket, tmp_path: Path) -> None:
    other, _ = certificates.pair(tmp_path)
    client = Client(address, other, "a", doubled)
    client.join(20)
    assert isinstance(client.error, BadRequest) and "not trusted" in str(client.error)


def test_addresses_and_certificates(tmp_path: Path) -> None:
    for wrong, told in (("ftp://x", "no address"), ("http://10.0.0.1:9", "in the clear"), ("localhost:9", "no address")):
        with pytest.raises(BadRequest, match=told):
            ServerConnection(wrong, "t", "d")
    with pytest.raises(NotFound, match="give --ca a PEM file"):
        ServerConnection("https://localhost", "t", "d", tmp_path / "none.pem")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable, match="start the server"):
        ServerConnection(f"http://127.0.0.1:{port}", "t", "d", patience=0.0).serve(doubled)
