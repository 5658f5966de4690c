import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pdf_files import lines, pdf_of
from PIL import Image
from postgres_server import PostgresServer
from starlette.testclient import TestClient

from mmgen.ingest.web import url_fetch
from mmgen.library.document_library import DocumentLibrary
from mmgen.serve.context import Caller, Context, context, here

if TYPE_CHECKING:
    from fastapi import FastAPI

    from mmgen.runtime import Runtime

TOWER = b"The tower was built by Ada Finch in 1887. It stands in Harwick."
FILES = [("files", ("tower.txt", TOWER)), ("files", ("cats.md", b"# Cats\n\nCats sleep for most of the day."))]


@pytest.fixture
def notes(client: TestClient) -> Iterator[str]:
    """The address of a store with two documents."""
    client.post("/v1/stores", json={"name": "notes"}).raise_for_status()
    client.post("/v1/stores/notes/documents", files=FILES, data={"metadata": '{"lang": "en"}'}).raise_for_status()
    yield "/v1/stores/notes"
    client.delete("/v1/stores/notes")


def error(answer: Any) -> str:
    message: str = answer.json()["error"]["message"]
    return message


def test_a_store_begins_and_ends(client: TestClient, served: "Runtime") -> None:
    made = client.post("/v1/stores", json={"name": "brief"}).json()
    assert made == {
        "id": "brief", "object": "store", "documents": 0, "passages": 0, "images": 0, "encoder": "embedded:minilm"
    }  # fmt: skip
    assert client.get("/v1/stores/brief").json() == made
    assert made in client.get("/v1/stores").json()["data"]
    assert client.post("/v1/stores", json={"name": "brief"}).status_code == 409
    assert client.delete("/v1/stores/brief").json() == {"id": "brief", "object": "store.deleted", "deleted": True}
    assert client.get("/v1/stores/brief").status_code == 404
    assert not list((served.home / "stores").glob("*brief*"))


def test_a_store_on_a_database_server_is_known_by_its_name(
    client: TestClient, served: "Runtime", postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url("api")
    monkeypatch.setitem(served.config.stores, "team", url)
    assert "team" not in client.get("/v1/stores").text and client.get("/v1/stores/team").status_code == 404
    assert "no store at team;" in error(client.get("/v1/stores/team"))
    with closing(DocumentLibrary.open(served, "team", encoder="embedded:minilm")) as library:
        library.writable()
    assert "team" in client.get("/v1/stores").text
    client.post("/v1/stores/team/documents", files=FILES, data={"metadata": '{"lang": "en"}'}).raise_for_status()
    found = client.post("/v1/stores/team/search", json={"query": "who built the tower", "filters": {"lang": "en"}}).json()
    assert "Ada Finch" in found["data"][0]["text"] and client.get("/v1/stores/team").json()["documents"] == 2
    assert (
        client.delete("/v1/stores/team").status_code == 400
        and client.post("/v1/stores", json={"name": "team"}).status_code == 409
    )
    answer = client.post("/v1/pipelines/rag-text", json={"question": "Who?", "store": url})
    assert answer.status_code in (400, 404, 422) and "is no name" in error(answer)
    client.app.state.stores._libraries.pop("team").close()  # type: ignore[attr-defined]
    postgres.execute("DROP SCHEMA api CASCADE")


@pytest.mark.parametrize(
    "name", ["..", ".", "../x", "a/b", "~", "~root", "/etc", "a\\b", ".hidden", "", "a\0b", "a\n", "x" * 101, "\u00fc" * 101]
)
def test_a_name_is_never_a_path(client: TestClient, served: "Runtime", name: str) -> None:
    before = set(served.home.rglob("*"))
    assert client.post("/v1/stores", json={"name": name}).status_code == 400
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    for path in (f"/v1/stores/{quoted}", f"/v1/stores/{quoted}/documents"):
        assert client.get(path).status_code in (400, 404) or name == ""
    assert client.delete(f"/v1/stores/{quoted}").status_code in (400, 404, 405)
    assert set(served.home.rglob("*")) == before


def test_a_name_of_many_bytes(client: TestClient) -> None:
    assert client.get("/v1/stores/" + "\u6f22" * 90).status_code == 400


def test_documents_are_listed_and_removed(client: TestClient, notes: str) -> None:
    listed = client.get(f"{notes}/documents").json()
    assert [(one["name"], one["kind"], one["metadata"]["lang"]) for one in listed["data"]] == [
        ("tower.txt", "text", "en"), ("cats.md", "markdown", "en")
    ]  # fmt: skip
    first = listed["data"][0]["id"]
    page = client.get(f"{notes}/documents", params={"limit": 1}).json()
    assert page["has_more"] and page["data"][0]["id"] == first
    rest = client.get(f"{notes}/documents", params={"after": first}).json()
    assert [one["name"] for one in rest["data"]] == ["cats.md"] and not rest["has_more"]
    assert client.delete(f"{notes}/documents/{first}").json()["deleted"]
    assert client.delete(f"{notes}/documents/{first}").status_code == 404
    assert client.get(notes).json()["documents"] == 1


def test_every_file_has_its_outcome(client: TestClient, notes: str) -> None:
    files = [FILES[0], ("files", ("new.txt", b"Something new.")), ("files", ("bad.pdf", b"%PDF-1.4 nothing"))]
    files += [("files", ("empty.txt", b"")), ("files", ("../../../etc/passwd", b"root is a name."))]
    answer = client.post(f"{notes}/documents", files=files, data={"metadata": '{"lang": "en"}'}).json()
    assert [(one["name"], one["status"]) for one in answer["data"]] == [
        ("tower.txt", "unchanged"), ("new.txt", "added"), ("bad.pdf", "failed"), ("empty.txt", "failed"), ("passwd", "added")
    ]  # fmt: skip
    assert "empty" in answer["data"][3]["reason"] and answer["data"][1]["id"] and answer["passages"] == 2


def test_a_document_as_json(client: TestClient, notes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"text": "A heron waits.", "name": "birds.txt", "metadata": {"year": 2020}}
    (one,) = client.post(f"{notes}/documents", json=body).json()["data"]
    assert one["status"] == "added" and one["name"] == "birds.txt"
    (hit, *_) = client.post(f"{notes}/search", json={"query": "heron", "filters": ["year>=2020"]}).json()["data"]
    assert (hit["document"], hit["document_id"], hit["text"]) == ("birds.txt", one["id"], "A heron waits.")
    monkeypatch.setattr(url_fetch, "dial", lambda *_: pytest.fail("connected"))
    (one,) = client.post(f"{notes}/documents", json={"url": "http://localhost/", "name": "x.txt"}).json()["data"]
    assert one["status"] == "failed" and "fetches no URLs" in one["reason"]


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {}}, {"json": {"text": "a", "url": "b"}}, {"content": b"{"}, {"json": {"text": "a", "metadata": {"x": []}}},
        {"files": {"files": ("a.txt", b"a")}, "data": {"metadata": "{"}}, {"files": {"x": (None, "a")}}, {"json": {"text": 1}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data"}},
        {"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=x"}},
    ],
)  # fmt: skip
def test_what_is_no_document(client: TestClient, notes: str, sent: dict[str, Any]) -> None:
    assert client.post(f"{notes}/documents", **sent).status_code == 400


def test_passages_and_images_are_found(client: TestClient, notes: str) -> None:
    files = []
    for colour in ("red", "blue"):
        file = io.BytesIO()
        Image.effect_mandelbrot((40, 40), (-2, -1, 1, 1), 50 if colour == "red" else 9).save(file, "PNG")
        files.append(("files", (f"../{colour}.png", file.getvalue())))
    answer = client.post(f"{notes}/documents", files=[*files, ("files", ("no.png", b"no image"))]).json()
    assert [(one["name"], one["status"]) for one in answer["data"]][2] == ("no.png", "failed")
    assert client.get(notes).json()["images"] == sum(one["status"] == "added" for one in answer["data"]) >= 1
    body = {"query": "w1 w2", "k": 1, "mode": "dense", "images": 2}
    found = client.post(f"{notes}/search", json=body).json()
    assert len(found["data"]) == 1 and set(found["data"][0]["scores"]) == {"dense"}
    assert found["images"][0]["document"] in ("red.png", "blue.png")
    image = next(one for one in client.get(f"{notes}/documents").json()["data"] if one["kind"] == "image")
    assert client.delete(f"{notes}/documents/{image['id']}").json()["deleted"]


def test_an_answer_cites_its_source(client: TestClient, notes: str) -> None:
    body = {"question": "Who built the tower?", "min_confidence": 0}
    answer = client.post(f"{notes}/ask", json=body).json()
    assert not answer["abstained"] and 0 <= answer["confidence"] <= 1 and answer["passages"]
    for one in answer["citations"]:
        text = {"tower.txt": TOWER.decode(), "cats.md": FILES[1][1][1].decode()}[one["document"]]
        assert text[one["start"] : one["end"]] == one["quote"] and one["quote"] == answer["answer"]
    unsure = client.post(f"{notes}/ask", json={**body, "min_confidence": 1}).json()
    assert unsure["abstained"] and not unsure["citations"] and "Not in the documents" in unsure["answer"]


def test_feedback_on_an_answer(client: TestClient, notes: str) -> None:
    said = {"question": "Who built the tower?", "answer": "cats", "verdict": "wrong", "span": "tower"}
    kept = client.post(f"{notes}/feedback", json=said).json()
    assert TOWER.decode()[kept["start"] : kept["end"]].lower() == "tower" and kept["document"] == "tower.txt"
    assert kept["object"] == "feedback" and kept["id"] and said.items() <= kept.items()
    for wrong, code in (({"verdict": "maybe"}, 400), ({"span": "no such words"}, 400), ({"document_id": 2**40}, 404)):
        assert client.post(f"{notes}/feedback", json={**said, **wrong}).status_code == code


def test_pages_of_an_upload_are_shown_with_the_quote(client: TestClient, notes: str) -> None:
    data = pdf_of(lines("The mill burned down in the old days, and"), lines("it was built again by Greta Holm in 1742."))
    (done,) = client.post(f"{notes}/documents", files=[("files", ("mill.pdf", data))]).json()["data"]
    answer = client.post(f"{notes}/ask", json={"question": "Who built the mill again?", "min_confidence": 0}).json()
    found = next(one for one in answer["passages"] if one["document"] == "mill.pdf")
    assert found["page"] == 1 and found["recognized"] is None
    (cited,) = [one for one in answer["citations"] if one["document"] == "mill.pdf"] or [None]
    if cited:  # a reader of random weights may quote the other document
        assert (
            cited["boxes"] and {box["page"] for box in cited["boxes"]} <= {1, 2} and cited["page"] == cited["boxes"][0]["page"]
        )
    at = found["text"].index("Greta")
    address = f"{notes}/documents/{done['id']}/pages"
    image = client.get(f"{address}/2", params={"start": found["start"] + at, "end": found["start"] + at + 10, "width": 300})
    assert image.headers["content-type"] == "image/png" and image.content.startswith(b"\x89PNG")
    assert image.content != client.get(f"{address}/2", params={"width": 300}).content, "the quote is marked"
    assert client.get(f"{address}/3").status_code == 404 and "has no page 3" in error(client.get(f"{address}/3"))
    tower = next(one["id"] for one in client.get(f"{notes}/documents").json()["data"] if one["name"] == "tower.txt")
    assert "only pages of pdf files" in error(client.get(f"{notes}/documents/{tower}/pages/1"))
    assert client.delete(f"{notes}/documents/{done['id']}").json()["deleted"]
    assert client.get(f"{address}/2").status_code == 404


def test_messages_complete_a_question(client: TestClient, notes: str) -> None:
    said = [{"role": "user", "content": "What is the tower of Hirta?"}, {"role": "assistant", "content": "a lighthouse"}]
    answer = client.post(f"{notes}/ask", json={"question": "Who built it?", "messages": said}).json()
    assert (answer["question"], answer["rewritten"]) == ("Who built it?", "Who built the tower of Hirta?")
    body = {"messages": [*said, {"role": "user", "content": "Who built it?"}]}
    assert client.post(f"{notes}/ask", json=body).json()["rewritten"] == answer["rewritten"]
    first = client.post(f"{notes}/ask", json={**body, "stream": True}).text.split("\n\n")[0]
    assert json.loads(first.removeprefix("data: ")) == {"type": "rewritten", "question": answer["rewritten"]}
    assert client.post(f"{notes}/ask", json={"messages": said[:1]}).json()["rewritten"] is None
    for wrong in ({}, {"messages": []}, {"messages": said}, {"messages": [{"role": "bot", "content": "x"}]}):
        assert client.post(f"{notes}/ask", json=wrong).status_code == 400


def test_an_answer_is_streamed(client: TestClient, notes: str) -> None:
    body = {"question": "Who built the tower?", "min_confidence": 0, "stream": True}
    lines = [line for line in client.post(f"{notes}/ask", json=body).text.split("\n\n") if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert lines[-1] == "data: [DONE]"
    assert [event["type"] for event in events] == ["passages", "answer"]
    assert events[1]["answer"]["citations"] and events[0]["passages"] == events[1]["answer"]["passages"]


def test_a_language_model_can_write(client: TestClient, notes: str, tiny_llama: Path) -> None:
    body = {"question": "Who?", "k": 1, "model": tiny_llama.name, "grounding": "off", "stream": True}
    assert '"type":"text"' in client.post(f"{notes}/ask", json=body).text
    assert client.post(f"{notes}/ask", json={**body, "model": str(tiny_llama)}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": ""}, 400), ({"query": " "}, 400), ({"query": "x", "k": 0}, 400), ({"query": "x", "mode": "best"}, 400),
        ({"query": "x", "filters": ["?"]}, 400), ({"query": "x", "filters": {"a b": 1}}, 400),
        ({"query": "x", "rerank": "no"}, 404), ({"query": "x", "filters": {"a": 2**70}}, 400),
        ({"query": "x", "images": 1}, 404), ({"query": "x", "typo": 1}, 400),
    ],
)  # fmt: skip
def test_mistakes_are_told(client: TestClient, notes: str, body: dict[str, Any], status: int) -> None:
    assert client.post(f"{notes}/search", json=body).status_code == status


def test_an_empty_store_says_so_without_its_path(client: TestClient, served: "Runtime") -> None:
    client.post("/v1/stores", json={"name": "bare"})
    answer = client.post("/v1/stores/bare/search", json={"query": "x"})
    client.delete("/v1/stores/bare")
    assert answer.status_code == 404 and "bare is empty" in error(answer) and str(served.home) not in error(answer)


def test_two_can_add_at_once(client: TestClient, notes: str) -> None:
    def add(number: int) -> str:
        text = f"Sentence number {number} of many. " * 20
        answer = client.post(f"{notes}/documents", json={"text": text, "name": f"{number}.txt"}).json()
        status: str = answer["data"][0]["status"]
        return status

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(add, range(8))) == ["added"] * 8
    assert client.get(notes).json()["documents"] == 10
    assert client.post(f"{notes}/search", json={"query": "number", "k": 20}).json()["data"]


@pytest.fixture
def guest(make_app: "Callable[..., FastAPI]") -> Iterator[TestClient]:
    """May read the store mine, and no other."""
    app = make_app()
    mine = Caller("guest", frozenset({"stores"}), frozenset({"mine"}))

    def as_guest(found: Context) -> Context:
        return Context(found.http, found.rt, mine, found.tracker)

    from fastapi import Request

    app.dependency_overrides[here] = lambda request: as_guest(context(request))
    app.dependency_overrides[here].__annotations__["request"] = Request
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def test_a_key_keeps_to_its_stores(guest: TestClient, client: TestClient, notes: str) -> None:
    client.post("/v1/stores", json={"name": "mine"})
    assert [one["id"] for one in guest.get("/v1/stores").json()["data"]] == ["mine"]
    assert guest.get("/v1/stores/mine").status_code == 200
    assert guest.post("/v1/stores/mine/documents", json={"text": "a"}).status_code == 403
    assert guest.delete("/v1/stores/mine").status_code == 403
    for method, path, body in (
        ("GET", notes, None), ("GET", f"{notes}/documents", None), ("POST", f"{notes}/search", {"query": "x"}),
        ("POST", f"{notes}/ask", {"question": "x"}), ("POST", "/v1/stores", {"name": "another"}),
        ("POST", "/v1/pipelines/rag-text", {"question": "x", "store": "notes"}),
        ("POST", "/v1/pipelines/txt2img", {"prompt": "x"}),
    ):  # fmt: skip
        assert guest.request(method, path, json=body).status_code == 403, path
    nameless = guest.post("/v1/pipelines/rag-text", json={"question": "x"})
    client.delete("/v1/stores/mine")
    assert nameless.status_code == 400 and "may use mine" in error(nameless)
