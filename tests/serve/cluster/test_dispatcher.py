"""Requests that see replicas die, over replicas that answer at once."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from mmgen.cluster.replica_state import ModelInfo, ReplicaState
from mmgen.cluster.router import ALONE, ClusterRouter
from mmgen.cluster.work import ClusterRequest
from mmgen.serve.cluster import dispatcher as module
from mmgen.serve.cluster.call import ForwardedCall, ReplicaLost, ReplicaMessage
from mmgen.serve.cluster.dispatcher import MOST_PLAYS, Dispatcher, pause_s


class Mortal:
    """A replica that dies of requests whose id begins so."""

    def __init__(self, name: str, poison: str) -> None:
        self.name, self.poison = name, poison

    async def call(self, call: ForwardedCall) -> AsyncIterator[ReplicaMessage]:
        await asyncio.sleep(0.01)  # the others come meanwhile
        if call.id.startswith(self.poison):
            raise ReplicaLost("it is dead")
        yield ReplicaMessage("start", 200, ((b"content-type", b"text/plain"),))
        yield ReplicaMessage("end", device_ms=10.0)


def dying(poison: str) -> Dispatcher:
    """Two replicas; for each that dies another one comes."""
    made = Dispatcher(ClusterRouter({"a": ModelInfo()}, window_s=60.0, rng=random.Random(0)))
    count = iter(range(10**6))

    def start(*_: str) -> None:
        name = f"engine-{next(count)}"
        made.add(Mortal(name, poison), ReplicaState(name, frozenset("a")))  # type: ignore[arg-type]

    made.lost = lambda *_: asyncio.get_running_loop().call_soon(start) and None
    start()
    start()
    return made


async def asked(made: Dispatcher, id: str) -> str:
    work = ClusterRequest(id, id, "a")
    call = ForwardedCall(id, "POST", "/v1/completions", b"", (), b"{}", id, frozenset(), None, 0.0, 1)
    try:
        return [message.kind async for message in made.play(work, call, asyncio.Event())][-1]
    except ReplicaLost as why:
        return str(why)


async def test_what_kills_replicas_waits_longer_each_time_and_is_given_up_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[float]()
    monkeypatch.setattr(module, "pause_s", lambda plays: 0.001 * bool(pauses.append(pause_s(plays)) or pauses[-1]))
    made = dying("killer")
    told = await asyncio.gather(*(asked(made, id) for id in ("one", "killer", "two", "three", "four")))
    assert told[1].startswith(f"{MOST_PLAYS} replicas died under request killer") and told[1].endswith("it is given up")
    assert [told[0], *told[2:]] == ["end"] * 4 and made.deaths == MOST_PLAYS
    assert sorted(pauses)[-7:] == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] and 1.0 in pauses
    assert not made._turns and not len(made.router.waiting)


async def test_one_that_is_cancelled_while_it_waits_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "pause_s", lambda plays: 0.05 if plays > ALONE else 0.0)
    made = dying("killer")
    task = asyncio.create_task(asked(made, "killer"))
    while made.deaths <= ALONE and not task.done():
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.sleep(0.1)
    assert made.deaths == ALONE + 1 and not len(made.router.waiting) and not made._turns
