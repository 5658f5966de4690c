"""TLS: the certificate that a server shows, looked at before it starts, and a client's connection to that certificate alone.

Imports neither torch nor FastAPI.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmgen.errors import BadRequest, NotFound, UnreadableFile

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2, in OpenSSL's words: forward secrecy and authenticated encryption; all suites of TLS 1.3 have both."""


@dataclass(frozen=True)
class ServerCertificate:
    """A certificate (with its chain) and its private key, which belong together."""

    certfile: Path  # PEM, the server's own certificate first
    keyfile: Path  # PEM, without a passphrase
    digest: str  # SHA-256 of the server's own in DER, hexadecimal
    trouble: str = ""  # why clients will refuse it by its dates

    def options(self) -> dict[str, Any]:
        """As uvicorn.Config takes them."""
        return {"ssl_certfile": self.certfile, "ssl_keyfile": self.keyfile, "ssl_ciphers": CIPHERS}


def read(certfile: Path | None, keyfile: Path | None) -> ServerCertificate | None:
    """The pair of these files; None where neither is given. Without `keyfile` the key stands in `certfile`, too.

    Raises BadRequest for a key that is not the certificate's, NotFound, or UnreadableFile.
    """
    if certfile is None:
        if keyfile is not None:
            raise BadRequest(f"--ssl-keyfile is {keyfile}, without a certificate; give it, too: --ssl-certfile FILE")
        return None
    keyfile = certfile if keyfile is None else keyfile
    certificate, public = _certificate(certfile), _public_key(keyfile)
    if _spki(certificate.public_key()) != public:
        raise BadRequest(f"key {keyfile} is not that of certificate {certfile}; give the pair that was made together")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certfile, keyfile)
    except ssl.SSLError as why:  # such as a key that is too short
        raise UnreadableFile(f"certificate {certfile} is refused by OpenSSL ({why.reason}); have another made") from None
    from cryptography.hazmat.primitives.serialization import Encoding

    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return ServerCertificate(certfile, keyfile, digest, _trouble(certificate, certfile))


def _certificate(path: Path) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_bytes(path, "certificate", "--ssl-certfile"))[0]
    except (ValueError, IndexError):
        raise UnreadableFile(f"{path} holds no certificate in PEM; give another --ssl-certfile") from None


def _public_key(path: Path) -> bytes:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _bytes(path, "key", "--ssl-keyfile")
    try:
        return _spki(load_pem_private_key(text, None).public_key())
    except TypeError:
        raise UnreadableFile(f"the key in {path} has a passphrase; take it off: openssl pkey -in {path} -out FILE") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnreadableFile(f"{path} holds no private key in PEM; give one with --ssl-keyfile") from None


def _spki(key: Any) -> bytes:
    """A public key as certificates hold it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _bytes(path: Path, what: str, option: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{what} {path} does not exist; check {option}") from None
    except OSError as why:
        raise UnreadableFile(f"{what} {path} cannot be read ({why.strerror}); check {option}") from None


def _trouble(certificate: Certificate, path: Path) -> str:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        return f"certificate {path} has expired on {certificate.not_valid_after_utc:%Y-%m-%d}; clients will refuse it, renew it"
    if certificate.not_valid_before_utc > now:
        begins = f"{certificate.not_valid_before_utc:%Y-%m-%d}"
        return f"certificate {path} is valid from {begins} on; clients will refuse it until then, check this machine's clock"
    return ""


class PinnedConnection(HTTPSConnection):
    """To a server that is known by its certificate's digest: neither by its name nor by who signed it."""

    def __init__(self, host: str, port: int, digest: str, timeout: float) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(host, port, timeout=timeout, context=context)
        self.digest = digest

    def connect(self) -> None:
        """Raises OSError where another certificate is shown, before anything is sent."""
        super().connect()
        shown = self.sock.getpeercert(binary_form=True) or b""
        if hashlib.sha256(shown).hexdigest() != self.digest:
            self.close()
            raise OSError("this is another server: it shows another certificate")
