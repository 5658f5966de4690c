"""Fetches data: URLs, and, where the settings allow it, http(s) URLs of public addresses (protection against SSRF).

The address that was checked is the one that is connected to, and a redirect is checked like the first URL, so neither a
name that changes its address nor a public page that points inside leads to this machine or its network. Knows no image.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

import httpcore

from mmgen.errors import BadRequest, Forbidden, TooLarge

MOST_REDIRECTS = 3
MOST_SECONDS = 15.0
"""For all of it, but for the resolver, which has a limit of its own."""
REDIRECTS = {301, 302, 303, 307, 308}
dial = httpcore.SyncBackend().connect_tcp


class FetchRules(Protocol):
    """Who may fetch what; a server's settings are such rules."""

    @property
    def fetch_urls(self) -> bool: ...  # whether http(s) URLs are fetched at all
    @property
    def max_body(self) -> int: ...  # bytes at most


@dataclass(frozen=True)
class OpenFetch:
    """Any public address."""

    max_body: int
    fetch_urls: bool = True


@dataclass(frozen=True)
class FetchedFile:
    """What a URL gave."""

    url: str  # the last one, after redirects
    data: bytes = field(repr=False)
    kind: str = ""  # the media type, in lower case, without parameters
    charset: str = ""


def read(url: str, settings: FetchRules) -> bytes:
    """The bytes that `fetch` gives."""
    return fetch(url, settings).data


def fetch(url: str, settings: FetchRules) -> FetchedFile:
    """What stands at a URL. Blocks; call it in a thread.

    Raises:
        Forbidden: an address that is not public, or any http(s) URL where `settings.fetch_urls` is off.
        BadRequest: a URL that cannot be understood or fetched.
        TooLarge: more than `settings.max_body` bytes.
    """
    if url[:5].lower() == "data:":
        data = _data(url)
        check_size(len(data), settings.max_body)
        return FetchedFile("", data, *_media_type(url[5:].partition(",")[0]))
    if not settings.fetch_urls:
        raise Forbidden("this server fetches no URLs; send the file itself, or as a data: URL")
    ends = time.monotonic() + MOST_SECONDS
    with httpcore.ConnectionPool(network_backend=PublicAddressBackend(ends)) as pool:
        for _ in range(MOST_REDIRECTS + 1):
            try:
                found = _get(pool, url, settings.max_body)
            except (httpcore.TimeoutException, TimeoutError):
                raise BadRequest(f"{_short(url)} did not answer within {MOST_SECONDS:.0f} s; send the file itself") from None
            except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError, ValueError) as why:
                raise BadRequest(f"{_short(url)} cannot be fetched ({type(why).__name__}); send the file itself") from None
            if isinstance(found, FetchedFile):
                return found
            url = urljoin(url, found)
    raise BadRequest(f"{_short(url)} is the end of more than {MOST_REDIRECTS} redirects; give the file's own URL")


def check_public(host: str, addresses: Iterable[str]) -> None:
    """Raises Forbidden if one of the addresses that a host has is no place in the public internet."""
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        tunnel = isinstance(address, ipaddress.IPv6Address) and (
            address.ipv4_mapped or address.sixtofour or address.teredo or address.is_site_local
        )
        if tunnel or address.is_multicast or address.is_reserved or not address.is_global:
            raise Forbidden(f'"{host[:100]}" is not at a public address; send the file itself')


def resolved(host: str, port: int) -> list[str]:
    """Every address of a host, as the connection would find them."""
    return list(dict.fromkeys(str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class PublicAddressBackend(httpcore.NetworkBackend):
    """Resolves, checks and connects in one go; nobody resolves the name again afterwards."""

    def __init__(self, ends: float) -> None:
        self.ends = ends  # time.monotonic() seconds

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        addresses = resolved(host, port)
        check_public(host, addresses)
        return TimedStream(dial(addresses[0], port, timeout=_left(self.ends)), self.ends)


class TimedStream(httpcore.NetworkStream):
    """A connection that ends at a time, however slowly the other side speaks."""

    def __init__(self, stream: httpcore.NetworkStream, ends: float) -> None:
        self.stream, self.ends = stream, ends

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.ends))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.ends))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return TimedStream(self.stream.start_tls(ssl_context, server_hostname, _left(self.ends)), self.ends)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _media_type(told: str) -> tuple[str, str]:
    """`text/html; charset="utf-8"` -> text/html, utf-8"""
    kind, *parameters = told.split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    charset = next((value.strip().strip("\"'") for name, _, value in pairs if name.strip().lower() == "charset"), "")
    return kind.strip().lower(), charset.lower()


def _get(pool: httpcore.ConnectionPool, url: str, most: int) -> FetchedFile | str:
    """The body, or where a redirect points."""
    target = _target(url)
    host = target.host + (b"" if target.port is None else b":%d" % target.port)
    headers = [(b"Host", host), (b"Accept-Encoding", b"identity")]
    with pool.stream("GET", target, headers=headers) as response:
        told = {name.lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in REDIRECTS and b"location" in told:
            return told[b"location"]
        if response.status != 200 or told.get(b"content-encoding", "identity") != "identity":
            raise BadRequest(f"{_short(url)} answered with status {response.status}; send the file itself")
        found = bytearray()
        for chunk in response.iter_stream():
            found += chunk
            check_size(len(found), most)
        return FetchedFile(url, bytes(found), *_media_type(told.get(b"content-type", "")))


def _target(url: str) -> httpcore.URL:
    """A URL in its parts: what is checked is what is connected to."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # UnicodeError is one
        raise BadRequest(f"{_short(url)} is no URL; give one such as https://example.org/cat.png") from None
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise BadRequest(f"{_short(url)} is no http or https URL without a user's name; give one, or a data: URL")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (
        f"?{quote(parts.query, safe='/?%:@!$&()*+,;=~')}" if parts.query else ""
    )
    return httpcore.URL(scheme=parts.scheme.encode(), host=host, port=port, target=path.encode())


def _data(url: str) -> bytes:
    kind, comma, rest = url[5:].partition(",")
    if not comma:
        raise BadRequest("a data: URL needs a comma before its data, as in data:image/png;base64,iVBOR...")
    if not kind.rstrip().lower().endswith(";base64"):
        return unquote_to_bytes(rest)
    try:
        return base64.b64decode("".join(unquote_to_bytes(rest).decode("ascii").split()), validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest("a data: URL holds no base64; encode the file's bytes anew") from None


def check_size(size: int, most: int) -> None:
    """Raises TooLarge. Both in bytes."""
    if size > most:
        raise TooLarge(f"the file is larger than the limit of {most / 2**20:.0f} MiB; make it smaller")


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _short(url: str) -> str:
    return repr(url[:100])
