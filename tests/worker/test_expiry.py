"""The end of the API key and of the receiver's certificate is observed days before, by a real handshake."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from worker.maintenance.expiry import observe_certificate, observe_key
from worker.maintenance.observation import ABSENT, Observation


@contextmanager
def tls_server(folder: Path, life: timedelta, left: timedelta, name: str = "localhost") -> Iterator[str]:
    """Yield the URL of a server whose certificate, its own root, is in `folder / "root.pem"`."""
    now = datetime.now(UTC).replace(microsecond=0)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + left - life)
        .not_valid_after(now + left)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    no_password = serialization.NoEncryption()
    pkcs8 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
    (folder / "root.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pkcs8)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "root.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = Thread(target=_serve, args=(listener, context))
        serving.start()
        try:
            yield f"https://localhost:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()  # else it may accept the next server's connection, whose file descriptor is the same


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)


def days(number: float) -> timedelta:
    return timedelta(days=number, minutes=5)


@pytest.mark.parametrize(
    ("life", "left", "level"),
    [(90, 30, None), (90, 14, 14), (90, 7, 7), (90, 5, 7), (90, 0, 1), (47, 10, None), (6, 2, None), (6, 1, 1)],
)
def test_the_end_of_a_certificate_is_observed_by_levels_that_fit_its_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, life: int, left: int, level: int | None
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    with tls_server(tmp_path, timedelta(days=life), days(left)) as url:
        found = observe_certificate(url, datetime.now(UTC))
    expected = Observation(True, {"host": "localhost", "days": left, "level": level})
    assert found == (ABSENT if level is None else expected)


@pytest.mark.parametrize(
    ("left", "name", "reason"),
    [(-1, "localhost", "certificate has expired"), (30, "other.example", "ostname mismatch")],
)
def test_a_certificate_that_meetergo_would_refuse_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, name: str, reason: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "root.pem"))
    with tls_server(tmp_path, timedelta(days=90), days(left), name) as url:
        found = observe_certificate(url, datetime.now(UTC))
    assert found
    assert found.details
    assert (found.holds, found.details["level"]) == (True, 0)
    assert reason in found.details["reason"]


def test_nothing_is_known_of_an_address_that_does_not_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        assert observe_certificate(url, datetime.now(UTC), timedelta(seconds=0.1)) is None
    assert observe_certificate(url, datetime.now(UTC)) is None


@pytest.mark.parametrize(
    ("left", "level"), [(15, None), (14, 14), (8, 14), (7, 7), (4, 7), (3, 3), (2, 3), (1, 1), (0, 1), (-1, 0)]
)
def test_the_end_of_the_key_is_observed_14_7_3_and_1_days_before(left: int, level: int | None) -> None:
    now = datetime(2027, 1, 20, 23, 59, tzinfo=UTC)
    expected = ABSENT if level is None else Observation(True, {"days": left, "level": level})
    assert observe_key(date(2027, 1, 20) + timedelta(days=left), now) == expected
