"""Certificates that sign themselves, for servers of tests."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pair(folder: Path, name: str = "server", days: tuple[float, float] = (-1, 1), passphrase: bytes = b"") -> tuple[Path, Path]:
    """Files with a certificate for localhost and 127.0.0.1, and with its key. `days`: from now, when it begins and ends."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins, ends = (datetime.now(UTC) + timedelta(days=one) for one in days)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    certfile, keyfile = folder / f"{name}.crt", folder / f"{name}.key"
    certfile.write_bytes(signed.public_bytes(pem))
    keyfile.write_bytes(key.private_bytes(pem, pkcs8, secret))
    return certfile, keyfile
