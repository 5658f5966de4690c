import asyncio
import base64
import json
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mmgen.errors import NotFound
from mmgen.serve.cluster import ingress
from mmgen.serve.cluster.replica_app import NOW
from mmgen.stores import keys

Made = Callable[..., Any]


def asked(served: Any, **more: Any) -> dict[str, Any]:
    return {
        "model": served.host.config.text.rpartition("/")[2],
        "prompt": "one two three",
        "max_tokens": 24,
        "stream": True,
    } | more


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def text_of(stream: str) -> str:
    """What a stream of completions says, whatever its id and time."""
    events = [line[6:] for line in stream.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]", events[-3:]
    return "".join(choice["text"] for event in events[:-1] for choice in json.loads(event).get("choices", ()))


def test_a_stream_survives_its_replicas(cluster: Made, served: Any) -> None:
    """Bit-equal to the undisturbed one, though three replicas die under it: after its first message, and after some text.

    How many tokens a message has depends on how fast the machine is, so they die early.
    """
    with cluster() as (client, _):
        whole = client.post("/v1/completions", json=asked(served, seed=7)).text
    with cluster(lives=[1, 2, 2]) as (client, local):
        again = client.post("/v1/completions", json=asked(served, seed=7)).text
        assert len(local.started) == 4 and local.dispatcher.deaths == 3
    assert text_of(again) == text_of(whole) and again.count("data: ") == whole.count("data: ")


def test_a_stream_without_a_seed_is_given_one_and_goes_on_the_same(cluster: Made, served: Any) -> None:
    with cluster(lives=[2]) as (client, local):
        body = asked(served, temperature=1.5, n=2)
        answer = client.post("/v1/completions", json=body)
        (first, second) = (one.calls[0] for one in local.started)
        assert answer.status_code == 200 and "error" not in answer.text
        assert first == second and isinstance(json.loads(first.body)["seed"], int)
        undisturbed = client.post("/v1/completions", json=body | {"seed": json.loads(first.body)["seed"]})
        assert sorted(text_of(answer.text)) == sorted(text_of(undisturbed.text))


def test_whole_answers_and_images_too(cluster: Made, served: Any) -> None:
    draw = {"prompt": "a red apple", "seed": 3, "n": 2, "steps": 2, "response_format": "b64_json"}
    with cluster() as (client, _):
        whole = client.post("/v1/images/generations", json=draw).json()["data"]
    with cluster(lives=[0, 1, 1]) as (client, local):
        again = client.post("/v1/images/generations", json=draw)
        assert again.json()["data"] == whole and base64.b64decode(whole[0]["b64_json"])
        assert len(local.started) >= 2
        text = client.post("/v1/completions", json=asked(served, stream=False, seed=1)).json()
        assert text["choices"][0]["finish_reason"] and text["id"].startswith("cmpl-")


def test_history_holds_a_call_once_and_the_user_is_charged(cluster: Made, served: Any) -> None:
    with cluster(lives=[2], history=True) as (client, local):
        answer = client.post("/v1/completions", json=asked(served))
        id = answer.headers["x-request-id"]
        kept = client.get("/v1/history").json()["data"]
        assert [one["id"] for one in kept].count(id) == 1
        assert client.get(f"/v1/requests/{id}").json()["status"] == "done"
        assert local.dispatcher.users["local"] > 0


def test_what_is_wrong_is_told_as_by_a_single_server(cluster: Made, served: Any) -> None:
    with cluster() as (client, _):
        assert client.post("/v1/completions", json={"model": "none"}).json()["error"]["code"] == "model_not_found"
        wrong = client.post("/v1/completions", json=asked(served, temperature=-1))
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "temperature")
        assert client.post("/v1/completions", content=b"{").status_code == 400
        assert client.get("/v1/models").status_code == client.get("/readyz").status_code == 200


def test_cancelling_reaches_the_replica(cluster: Made, served: Any, slow: Callable[[float], Any]) -> None:
    slow(0.05)
    with cluster() as (client, local):
        with client.stream("POST", "/v1/completions", json=asked(served, max_tokens=400, temperature=0)) as answer:
            id = answer.headers["x-request-id"]
            assert client.post(f"/v1/requests/{id}/cancel").json()["status"] in ("cancelling", "cancelled")
            assert "was cancelled" in "".join(answer.iter_text())
        (entry,) = local.started[0].app.tracker.entries()
        assert entry.request.id == id and entry.request.cancelled
        assert not local.dispatcher.router.replicas["engine-0"].sent


def test_replicas_that_always_die_are_started_no_more_and_it_is_said_why(cluster: Made, served: Any) -> None:
    with cluster(lives=[0, 0, 0, 0]) as (client, local):
        answer = client.post("/v1/completions", json=asked(served))
        assert answer.status_code == 503
        told = "replicas of engine died 3 times in a row before they answered anything, the last: its model cannot be read"
        assert answer.json()["error"]["message"].startswith(told)
        assert not local.started and len(local.lives) == 1
        time.sleep(0.01)
        assert client.post("/v1/completions", json=asked(served)).json()["error"]["message"].startswith(told)


@pytest.mark.parametrize("off_s", [-7200.0, 7200.0])
def test_a_replica_whose_clock_is_wrong(
    cluster: Made, served: Any, off_s: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Instants are the server's; what runs on a replica counts durations. Nothing is late, forgotten or dated wrongly."""
    real = time.time
    monkeypatch.setattr(served, "home", tmp_path / "home")
    monkeypatch.setattr(time, "time", lambda: real() + (off_s if NOW.get() is not None else 0.0))
    body = {"prompt": "a red apple", "seed": 3, "steps": 1}
    with cluster(history=True) as (client, local):
        before = real()
        url = client.post("/v1/images/generations", json=body | {"response_format": "url"}).json()["data"][0]["url"]
        name = url.rpartition("/")[2]
        streamed = client.post("/v1/images/generations", json=body | {"stream": True, "partial_images": 1}).text
        text = client.post("/v1/completions", json=asked(served, stream=False)).json()
        dates = [int(date) for date in (*re.findall(r'"created_at": ?(\d+)', streamed), text["created"])]
        assert len(dates) > 1 and all(int(before) <= date <= real() for date in dates)
        assert client.get(f"/v1/files/images/{name}").status_code == 200, "it is kept for an hour, by the server's clock"
        client.post("/v1/images/generations", json=body | {"response_format": "url"})
        assert client.get(f"/v1/files/images/{name}").status_code == 200, "no replica forgets it"
        kept = client.get("/v1/history").json()["data"]
        assert len(kept) == 4 and all(before <= entry["created"] <= real() for entry in kept)
        assert local.dispatcher.deaths == 0 and len(local.started) == 1


def test_keys_scopes_rates_and_quotas_are_those_of_a_single_server(
    cluster: Made, served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before a replica is asked; what is allowed is charged to the key's user, who alone sees it."""
    monkeypatch.setattr(keys, "COST", 2**4)
    monkeypatch.setattr(served, "home", tmp_path / "home")
    with cluster(history=True) as (client, local):
        store = client.app.state.keys
        root, bob, eve = store.create("root", scopes=("admin",)), store.create("bob", scopes=("images",)), store.create("eve")
        ann = client.post("/v1/keys", json={"name": "ann", "rate": "3/min", "quota": 1e-6}, headers=bearer(root)).json()["key"]

        def post(key: str) -> Any:
            return client.post("/v1/completions", json=asked(served, max_tokens=2, stream=False), headers=bearer(key))

        assert client.post("/v1/completions", json=asked(served)).status_code == post("mm-wrong").status_code == 401
        assert post(bob).status_code == 403
        assert not local.started[0].calls, "no replica was asked"
        first = post(ann)
        assert first.status_code == 200 and first.headers["x-ratelimit-remaining-requests"] == "2"
        assert local.dispatcher.users["ann"] > 0 and local.started[0].calls[0].user == "ann"
        assert all(name != b"authorization" for name, _ in local.started[0].calls[0].headers), "no replica sees a key"
        id = first.headers["x-request-id"]
        assert client.get(f"/v1/requests/{id}", headers=bearer(ann)).json()["status"] == "done"
        assert client.get(f"/v1/requests/{id}", headers=bearer(eve)).status_code == 404
        assert client.get("/v1/history", headers=bearer(eve)).json()["data"] == []
        spent, limited = post(ann), post(ann)
        assert spent.status_code == 429, "device time of replicas counts"
        assert spent.json()["error"]["code"] == "insufficient_quota"
        assert (limited.status_code, limited.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(limited.headers["retry-after"]) > 0 and post(eve).status_code == 200
        assert [call.user for call in local.started[0].calls] == ["ann", "eve"]


@pytest.mark.slow
def test_a_storm(cluster: Made, served: Any) -> None:
    """100 streams and 20 images over four replicas, of which a random one is killed again and again: none is lost, none is
    told twice, and all are as if nothing had happened."""
    draw = {"prompt": "a red apple", "steps": 4, "response_format": "b64_json"}

    def text(seed: int) -> str:
        return text_of(client.post("/v1/completions", json=asked(served, seed=seed, max_tokens=40)).text)

    def image(seed: int) -> Any:
        return client.post("/v1/images/generations", json=draw | {"seed": seed}).json()["data"]

    with cluster(replicas=4, starts=999) as (client, local):
        texts, images, killed = {seed: text(seed) for seed in range(10)}, {seed: image(seed) for seed in range(4)}, 0
        rng = random.Random(2)
        with ThreadPoolExecutor(40) as pool:
            streams = [pool.submit(text, number % 10) for number in range(100)]
            drawn = [pool.submit(image, number % 4) for number in range(20)]
            while killed < 15 and not all(one.done() for one in (*streams, *drawn)):
                time.sleep(0.2)
                with suppress(NotFound, IndexError):  # it is just being noticed as dead, or all are
                    client.portal.call(local.fleet.kill, rng.choice(sorted(local.dispatcher.replicas)))
                    killed += 1
            assert [one.result() for one in streams] == [texts[number % 10] for number in range(100)]
            assert [one.result() for one in drawn] == [images[number % 4] for number in range(20)]
        assert killed > 5 and local.dispatcher.replayed > 10
        assert not len(local.dispatcher.router.waiting)
        assert not any(one.sent for one in local.dispatcher.router.replicas.values())


@pytest.mark.parametrize("kind", ["application/octet-stream", "multipart/form-data; boundary=x", "text/plain"])
def test_a_body_that_nobody_counted_is_not_parsed(
    served: Any, make_app: Made, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = list[int]()
    monkeypatch.setattr(ingress.json, "loads", lambda body: parsed.append(len(body)) or {})
    passed = list[str]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append((await receive())["body"].decode())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"[" * 1000, "more_body": False}

    class Nobody:
        def takes(self, model: str) -> bool:
            return False

    headers = [(b"content-type", kind.encode()), (b"content-length", b"1000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "app": make_app()}
    asyncio.run(ingress.ClusterIngress(app, Nobody())(scope, receive, None))  # type: ignore[arg-type]
    assert passed == ["[" * 1000] and len(parsed) == (kind == "text/plain")
