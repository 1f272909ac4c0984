"""Redis behind TLS: `rediss://` with its options."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from socket import create_connection, create_server
from threading import Thread
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis.exceptions import ConnectionError as RedisUnavailable

from operations.settings import ProviderSettings
from runtime.queue import JobQueue
from runtime.redis.client import connect
from runtime.settings import StoreSettings
from tests.tcp_proxy import forward


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "redis")])
    certificate_ = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "redis.pem"
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(
        certificate_.public_bytes(serialization.Encoding.PEM) + key.private_bytes(serialization.Encoding.PEM, *plain)
    )
    return path


@pytest.fixture
def tls_proxy(redis_url: str, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port of a TLS proxy in front of the tests' Redis, and its certificate."""
    certificate_path, port = certificate(tmp_path), int(redis_url.rpartition(":")[2].partition("/")[0])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate_path)
    listener = create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                tls_client = context.wrap_socket(client, server_side=True)
            except OSError:
                client.close()
                continue
            server = create_connection(("127.0.0.1", port))
            for source, sink in ((tls_client, server), (server, tls_client)):
                Thread(target=forward, args=(source, sink), daemon=True).start()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], certificate_path
    listener.shutdown(2)
    listener.close()
    thread.join(60)


def test_a_certificate_is_verified_and_can_be_given(tls_proxy: tuple[int, Path], redis: object) -> None:
    port, certificate_path = tls_proxy
    for option in (
        "ssl_cert_reqs=none",
        f"ssl_ca_certs={certificate_path}",
        f"ssl_cert_reqs=required&ssl_ca_certs={certificate_path}",
    ):
        with connect(f"rediss://127.0.0.1:{port}/0?{option}") as client:
            assert JobQueue(client).trigger_drain("inbox")
    with connect(f"rediss://127.0.0.1:{port}/0") as untrusting, pytest.raises(RedisUnavailable, match="certificate"):
        untrusting.ping()


def test_a_missing_certificate_file_raises_nothing(tls_proxy: tuple[int, Path]) -> None:
    with connect(f"rediss://127.0.0.1:{tls_proxy[0]}/0?ssl_ca_certs=/nowhere.pem") as client:
        assert not JobQueue(client).trigger_drain("inbox")


def test_a_self_signed_redis_as_heroku_hands_it_out_works_with_one_setting(tls_proxy: tuple[int, Path]) -> None:
    url = f"rediss://127.0.0.1:{tls_proxy[0]}"
    with StoreSettings(redis_url=url).redis() as careful, pytest.raises(RedisUnavailable, match="certificate"):
        careful.ping()
    with StoreSettings(redis_url=url, redis_tls_verify=False).redis() as client:
        assert JobQueue(client).trigger_drain("inbox")
    provider = ProviderSettings(redis_url=url, redis_tls_verify=False, meetergo_api_key=f"ak_live:{UUID(int=1)}:sample")
    with provider.redis() or pytest.fail("no Redis") as client:
        assert client.ping()


def test_an_option_in_the_url_outdoes_the_setting() -> None:
    for url in ("rediss://h/0?ssl_cert_reqs=required", "redis://h/0"):
        assert StoreSettings(redis_url=url, redis_tls_verify=False).redis_url == url
    given = StoreSettings(redis_url="rediss://h/0?ssl_ca_certs=/a.pem", redis_tls_verify=False).redis_url
    assert given == "rediss://h/0?ssl_ca_certs=/a.pem&ssl_cert_reqs=none"
