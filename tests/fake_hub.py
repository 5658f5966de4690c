"""A hub on this machine: repositories of small files, as huggingface_hub asks for them."""

import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c" * 40


@dataclass
class FakeHub:
    """What it has, and how it misbehaves."""

    endpoint: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)  # names of files, in the order in which their content was asked for
    starts: list[int] = field(default_factory=list)  # bytes at which those began
    breaks: dict[str, int] = field(default_factory=dict)  # a file's name -> bytes after which its connection ends, once
    false: dict[str, bytes] = field(default_factory=dict)  # what comes instead of a file's content
    status: int = 0  # of every answer; 0: as it should be

    def info(self, name: str) -> dict[str, Any]:
        files = self.repositories[name]
        siblings = [{"rfilename": one, "size": len(content), **self.digests(content)} for one, content in files.items()]
        return {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "siblings": siblings,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "private": False,
        }

    def tree(self, name: str) -> list[dict[str, Any]]:
        return [
            {"type": "file", "path": one, "size": len(content), "oid": git(content), **self.digests(content, "oid")}
            for one, content in self.repositories[name].items()
        ]

    def digests(self, content: bytes, key: str = "sha256") -> dict[str, Any]:
        """Large files are stored by their sha256; here all but JSON."""
        if content[:1] in b"{[":
            return {"blobId": git(content)}
        return {
            "blobId": git(content),
            "lfs": {key: hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134},
        }


def git(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: FakeHub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(content=False)

    def do_GET(self) -> None:
        self.answer(content=True)

    def answer(self, content: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        parts = path.removeprefix("api/models/").split("/")
        name = "/".join(parts[:2])
        if self.hub.status or name not in self.hub.repositories:
            self.reply(self.hub.status or 404, b"", {} if self.hub.status else {"X-Error-Code": "RepoNotFound"})
        elif not path.startswith("api/"):
            self.file(name, "/".join(parts[4:]), content)
        elif parts[2:3] == ["tree"]:
            self.reply(200, json.dumps(self.hub.tree(name)).encode(), {"Content-Type": "application/json"})
        elif parts[2:3] == ["revision"] and parts[3] not in ("main", COMMIT):
            self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            self.reply(200, json.dumps(self.hub.info(name)).encode(), {"Content-Type": "application/json"})

    def file(self, name: str, path: str, content: bool) -> None:
        whole = self.hub.repositories[name][path]
        told = self.hub.digests(whole)
        etag = told["lfs"]["sha256"] if "lfs" in told else told["blobId"]
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if "lfs" in told:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(whole))}
        if not content:
            self.reply(200, b"", {**headers, "Content-Length": str(len(whole))})
            return
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.hub.fetched.append(path)
        self.hub.starts.append(start)
        sent = self.hub.false.get(path, whole)[start:]
        headers["Content-Range"] = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        cut = self.hub.breaks.pop(path, len(sent))
        self.reply(206 if start else 200, sent[:cut], {**headers, "Content-Length": str(len(sent))})
        if cut < len(sent):
            self.close_connection = True

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def fake_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The hub that huggingface_hub asks, and an empty cache."""
    from huggingface_hub import constants

    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
