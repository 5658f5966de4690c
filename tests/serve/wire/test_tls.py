"""What is said of a certificate before a server starts, what clients of it see, and a command that trusts no other server."""

import ssl
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from certificates import pair
from local_server import listening

from mmgen.errors import BadRequest, MmgenError, NotFound, UnreadableFile
from mmgen.serve.wire.tls import PinnedConnection, read

if TYPE_CHECKING:
    from fastapi import FastAPI


def test_a_pair_and_both_in_one_file(tmp_path: Path) -> None:
    certfile, keyfile = pair(tmp_path)
    apart = read(certfile, keyfile)
    certfile.write_bytes(keyfile.read_bytes() + certfile.read_bytes())
    together = read(certfile, None)
    assert apart and together and apart.digest == together.digest and not apart.trouble
    assert read(None, None) is None


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda crt, key: (crt.with_name("none"), key), NotFound, "none does not exist"),
        (lambda crt, key: (crt, key.with_name("none")), NotFound, "key .*none does not exist"),
        (lambda crt, key: (crt.parent, key), UnreadableFile, "cannot be read"),
        (lambda crt, key: (key, key), UnreadableFile, "holds no certificate in PEM"),
        (lambda crt, key: (crt, None), UnreadableFile, "holds no private key"),
        (lambda crt, key: (None, key), BadRequest, "without a certificate"),
        (lambda crt, key: (crt, pair(crt.parent, "other")[1]), BadRequest, "is not that of certificate"),
        (lambda crt, key: pair(crt.parent, "locked", passphrase=b"secret"), UnreadableFile, "has a passphrase"),
    ],
)
def test_what_is_refused_in_a_line(change: Callable[..., Any], kind: type[MmgenError], told: str, tmp_path: Path) -> None:
    with pytest.raises(kind, match=told) as caught:
        read(*change(*pair(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("days", "told"), [((-9, -2), "has expired on"), ((2, 9), "is valid from")])
def test_dates_are_told(days: tuple[float, float], told: str, tmp_path: Path) -> None:
    certificate = read(*pair(tmp_path, days=days))
    assert certificate is not None and told in certificate.trouble


def test_a_server_over_tls(make_app: "Callable[[], FastAPI]", tmp_path: Path) -> None:
    """Who knows the certificate gets in; neither others, nor those who speak plainly, nor older versions of TLS."""
    certfile, keyfile = pair(tmp_path)
    certificate = read(certfile, keyfile)
    assert certificate is not None
    with listening(make_app(), certificate) as address:
        assert address.startswith("https:")
        trusting = ssl.create_default_context(cafile=str(certfile))
        assert httpx.get(f"{address}/readyz", verify=trusting).json() == {"status": "ok"}
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{address}/readyz")
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{address.replace('https', 'http')}/readyz")
        trusting.set_ciphers("AES128-SHA")
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/readyz", verify=trusting)
        port = int(address.rpartition(":")[2])
        own: HTTPConnection = PinnedConnection("127.0.0.1", port, certificate.digest, 5.0)
        own.request("GET", "/readyz")
        assert own.getresponse().status == 200
        own.close()
        with pytest.raises(OSError, match="another certificate"):
            PinnedConnection("127.0.0.1", port, "0" * 64, 5.0).connect()
