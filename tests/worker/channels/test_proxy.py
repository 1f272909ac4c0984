"""The signed POST uses the environment's proxy, as Apprise does."""

import base64
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from urllib3.connection import HTTPConnection

from worker.channels import UnusableChannel, open_channel
from worker.channels.webhook import FinalResponse

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy: `host:port`, and the heads of its requests. It accepts each POST and opens no tunnel."""
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    heads.append(connection.recv(65536))
                    said = b"502 No" if heads[-1].startswith(b"CONNECT") else b"200 OK"
                    connection.sendall(b"HTTP/1.1 " + said + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", heads
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_post_uses_the_proxy(name, scheme, monkeypatch, make_message, settings):
    with proxy() as (place, heads):
        monkeypatch.setenv(name, f"{scheme}{place}")
        open_channel("http://platform.example/hook?t=1", settings()).send(make_message())

    assert heads[0].startswith(b"POST http://platform.example/hook?t=1 HTTP/1.1\r\n")
    assert b"proxy-authorization" not in heads[0].lower()


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_an_encrypted_post_asks_for_a_tunnel(name, monkeypatch, make_message, settings):
    with proxy() as (place, heads):
        monkeypatch.setenv(name, f"http://us%40er:pa%3Ass@{place}")
        with pytest.raises(Exception, match=r"^the platform could not be reached") as failure:
            open_channel("https://user:s3cret@platform.example/hook", settings()).send(make_message())

    assert heads[0].startswith(b"CONNECT platform.example:443 HTTP/1.")
    assert base64.b64encode(b"us@er:pa:ss") in heads[0]
    assert b"s3cret" not in heads[0]
    assert "pa" not in str(failure.value).partition("(")[2]


@pytest.mark.parametrize("exempt", ["127.0.0.1", "10.0.0.1, 127.0.0.0/8", "*", "localhost,127.0.0.1"])
def test_an_exempt_host_is_reached_directly(exempt, monkeypatch, platform, make_message, settings):
    with proxy() as (place, heads):
        monkeypatch.setenv("http_proxy", f"http://{place}")
        monkeypatch.setenv("no_proxy", exempt)
        open_channel(f"http://{platform.place}/hook", settings()).send(make_message())

    assert (heads, len(platform.received)) == ([], 1)


def test_a_domain_is_exempt_with_its_subdomains(monkeypatch, settings):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", ".example")

    assert not open_channel("https://a.platform.example/", settings())._pool.proxy


def test_loopback_uses_the_proxy_unless_it_is_exempt(monkeypatch, platform, make_message, settings):
    with proxy() as (place, heads):
        monkeypatch.setenv("http_proxy", f"http://{place}")
        open_channel(f"http://{platform.place}/hook", settings()).send(make_message())

    assert (len(heads), platform.received) == (1, [])


@pytest.mark.parametrize(
    "value", ["http://", "http://s3cret@", "s3cret://host", "http://host:99999", "http://[s3cret", "socks5h://"]
)
def test_an_invalid_proxy_is_rejected_without_being_quoted(value, monkeypatch, settings):
    monkeypatch.setenv("HTTPS_PROXY", value)

    with pytest.raises(UnusableChannel, match="HTTPS_PROXY is not a proxy URL: write http://host:port") as failure:
        open_channel("https://platform.example/", settings())

    assert "s3cret" not in str(failure.value)


def test_a_socks_proxy_is_used(monkeypatch, settings):
    monkeypatch.setenv("https_proxy", "socks5h://user:pa55@127.0.0.1:1080")

    assert open_channel("https://platform.example/", settings())._pool.proxy_url == "socks5h://127.0.0.1:1080"


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxy_url", ["", "http://127.0.0.1:1", "https://127.0.0.1:1", "socks5h://127.0.0.1:1"])
def test_all_of_our_connections_skip_interim_responses_and_no_others(scheme, proxy_url, monkeypatch, settings):
    monkeypatch.setenv(f"{scheme}_proxy", proxy_url)
    channel = open_channel(f"{scheme}://platform.example/", settings())

    assert channel._pool.connection_from_url(channel._address).ConnectionCls.response_class is FinalResponse
    assert HTTPConnection.response_class is http.client.HTTPResponse  # Apprise's connections
