"""Certificates, and a directory in which files that name them work."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from tests.support.certificates import write_server_files

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for servers and clients."""
    return trustme.CA()


@pytest.fixture
def directory(tmp_path: Path, authority: trustme.CA) -> Path:
    """A directory with a server's certificate, key and authority."""
    write_server_files(tmp_path, authority)
    return tmp_path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Path:
    """The example files with all certificates that they name, in one directory for each kind of file."""
    root = tmp_path_factory.mktemp("corpus")
    for kind in ("good", "good_newer", "bad", "refused_here"):
        shutil.copytree(HERE / kind, root / kind)
        write_server_files(root / kind, authority)
        key = load_pem_private_key((root / kind / "server.key").read_bytes(), None)
        (root / kind / "encrypted.key").write_bytes(_pem(key, BestAvailableEncryption(b"passphrase")))
        _write_weak_pair(root / kind)
    return root


def _write_weak_pair(directory: Path) -> None:
    """Write a certificate whose key is shorter than OpenSSL takes."""
    key = generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - it has to be weak
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    (directory / "weak.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "weak.key").write_bytes(_pem(key, NoEncryption()))


def _pem(key: PrivateKeyTypes, encryption: KeySerializationEncryption) -> bytes:
    """Return a key as text."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
