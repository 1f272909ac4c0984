"""The proxy from the environment between the client and meetergo."""

import httpx
import pytest

from meetergo.api.errors import Unavailable
from meetergo.api.transport import proxy_for
from tests.meetergo.api.conftest import OpenClient
from tests.worker.channels.test_proxy import NAMES, proxy

API = "https://api.provider.example"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_the_client_asks_the_proxy_for_a_tunnel(
    name: str, scheme: str, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy() as (place, heads):
        monkeypatch.setenv(name, f"{scheme}{place}")
        with pytest.raises(Unavailable):
            open_client(base_url=API).users.me()
    assert heads[0].startswith(b"CONNECT api.provider.example:443 HTTP/1.")
    assert b"authorization" not in heads[0].lower()


@pytest.mark.parametrize(
    ("exempt", "is_used"),
    [
        ("localhost,127.0.0.1,::1,[::1],fe80::/10,10.0.0.0/8", True),
        ("other.example", True),
        ("", True),
        ("[::1],.provider.example", False),
        ("API.provider.example:443", False),
        ("*", False),
    ],
)
def test_no_proxy_is_read_as_curl_does(exempt: str, is_used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert (proxy_for(httpx.URL(API)) is not None) == is_used


def test_the_sandbox_is_reached_directly(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "[::1]")
    with pytest.raises(Exception, match="cannot be read"):
        open_client().users.me()
