import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpcore
import pytest

from mmgen.errors import BadRequest, Forbidden, TooLarge
from mmgen.ingest.web import url_fetch
from mmgen.serve.settings import ServeConfig

OPEN = ServeConfig(fetch_urls=True, max_body=1000)
PUBLIC = "93.184.216.34"
Names = dict[str, list[str]]


class Pages(BaseHTTPRequestHandler):
    """Answers by path, and remembers who was asked for."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append((self.headers["Host"], self.path))
        path, _, rest = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
            return
        if path == "/slow":
            with suppress(OSError):  # hung up, as it should be
                for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 200:
                    self.wfile.write(bytes([byte]))
                    time.sleep(0.05)
            return
        self.send_response(404 if path == "/missing" else 200)
        if path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b"x" * (2000 if path == "/large" else 10))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Names with addresses of the test's choice; whatever is public is answered by Pages."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    names: Names = {"public.test": [PUBLIC]}
    dialled = httpcore.SyncBackend().connect_tcp
    Pages.asked = []

    def dial(address: str, port: int, timeout: float) -> Any:
        assert address == PUBLIC, f"connected to {address}"
        return dialled("127.0.0.1", server.server_port, timeout)

    monkeypatch.setattr(url_fetch, "resolved", lambda host, port: names[str(host)])
    monkeypatch.setattr(url_fetch, "dial", dial)
    try:
        yield names
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_public_page_is_read(internet: Names) -> None:
    assert url_fetch.read("http://public.test:8080/a b?c=d", OPEN) == b"x" * 10
    assert Pages.asked == [("public.test:8080", "/a%20b?c=d")]


@pytest.mark.parametrize("url", ["http://public.test/", "https://public.test/", "HTTP://public.test/"])
def test_nothing_is_fetched_unless_it_is_allowed(internet: Names, url: str) -> None:
    with pytest.raises(Forbidden, match="fetches no URLs"):
        url_fetch.read(url, ServeConfig())
    assert not Pages.asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::127.0.0.1",
        "64:ff9b::10.0.0.1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:db8::1",
    ],
)  # fmt: skip
def test_no_address_inside_is_ever_connected_to(internet: Names, address: str) -> None:
    internet["inside.test"] = [address]
    internet["both.test"] = [PUBLIC, address]
    for name in ("inside.test", "both.test"):
        with pytest.raises(Forbidden, match="not at a public address"):
            url_fetch.read(f"http://{name}/", OPEN)
    assert not Pages.asked


def test_public_addresses_are_public() -> None:
    url_fetch.check_public("x", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111"])


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "127.0.0.1."]
)
def test_addresses_in_disguise_are_seen_through(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """With the system's own resolver."""
    monkeypatch.setattr(url_fetch, "dial", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises((Forbidden, BadRequest)):
        url_fetch.read(f"http://{host}/", OPEN)


def test_a_name_that_changes_its_address_is_resolved_once(internet: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    monkeypatch.setattr(url_fetch, "resolved", lambda *_: next(answers))
    monkeypatch.setattr(socket, "getaddrinfo", _only_for_numbers(socket.getaddrinfo))
    assert url_fetch.read("http://rebinding.test/", OPEN) == b"x" * 10
    assert next(answers) == ["127.0.0.1"]


def _only_for_numbers(real: Callable[..., Any]) -> Callable[..., Any]:
    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        assert host == "127.0.0.1", f"{host} was resolved again"
        return real(host, *args, **options)

    return getaddrinfo


@pytest.mark.parametrize("to", ["http://inside.test/", "//inside.test/secret"])
def test_a_redirect_is_checked_anew(internet: Names, to: str) -> None:
    internet["inside.test"] = ["169.254.169.254"]
    with pytest.raises(Forbidden, match=r"inside\.test"):
        url_fetch.read(f"http://public.test/to?{to}", OPEN)
    assert [host for host, _ in Pages.asked] == ["public.test"]


@pytest.mark.parametrize("to", ["file:///etc/passwd", "gopher://public.test/", "ftp://public.test/x"])
def test_a_redirect_keeps_to_http(internet: Names, to: str) -> None:
    with pytest.raises(BadRequest, match="no http or https URL"):
        url_fetch.read(f"http://public.test/to?{to}", OPEN)


def test_redirects_are_followed_a_few_times(internet: Names) -> None:
    assert url_fetch.read("http://public.test/to?/to?/page", OPEN) == b"x" * 10
    with pytest.raises(BadRequest, match="more than 3 redirects"):
        url_fetch.read("http://public.test/to?/to?/to?/to?/page", OPEN)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://public.test/", "gopher://public.test/", "public.test", "//public.test/", "", "http://",
        "http:///x", "http://user:word@public.test/", "http://public.test:99999/", "http://[::1", "http://a\u2024..b/",
        "javascript:alert(1)", "unix:///run/docker.sock", "http://" + "a" * 70 + ".test/",
    ],
)  # fmt: skip
def test_other_urls_are_refused(internet: Names, url: str) -> None:
    with pytest.raises(BadRequest):
        url_fetch.read(url, OPEN)


def test_headers_cannot_be_smuggled(internet: Names) -> None:
    url_fetch.read("http://public.test/a\r\nHost: other\r\n\r\nGET /b", OPEN)
    assert [host for host, _ in Pages.asked] == ["public.test"]


@pytest.mark.parametrize("path", ["missing", "packed"])
def test_only_a_plain_200_counts(internet: Names, path: str) -> None:
    with pytest.raises(BadRequest, match="status"):
        url_fetch.read(f"http://public.test/{path}", OPEN)


def test_too_much_is_not_read(internet: Names) -> None:
    with pytest.raises(TooLarge, match="larger than the limit"):
        url_fetch.read("http://public.test/large", OPEN)


def test_who_dribbles_runs_out_of_time(internet: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_fetch, "MOST_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(BadRequest, match="did not answer within"):
        url_fetch.read("http://public.test/slow", OPEN)
    assert time.monotonic() - began < 3


def test_a_host_that_does_not_exist(internet: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_fetch, "resolved", lambda *_: (_ for _ in ()).throw(socket.gaierror("no such name")))
    with pytest.raises(BadRequest, match="cannot be fetched"):
        url_fetch.read("http://nowhere.test/", OPEN)


def test_data_urls_need_no_permission() -> None:
    assert url_fetch.read("data:image/png;base64,aGVsbG8=", ServeConfig()) == b"hello"
    assert url_fetch.read("DATA:;charset=utf-8,a%20b", ServeConfig()) == b"a b"
    with pytest.raises(TooLarge):
        url_fetch.read("data:," + "x" * 2000, OPEN)


@pytest.mark.parametrize("url", ["data:image/png;base64", "data:;base64,a", "data:;base64,%%%", "data:;base64,é"])
def test_damaged_data_urls(url: str) -> None:
    with pytest.raises(BadRequest, match="data: URL"):
        url_fetch.read(url, ServeConfig())
