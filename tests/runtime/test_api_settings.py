"""The settings of meetergo's API: unusable values give a message, and `repr` does not show the key."""

import pytest

from meetergo.api import UnusableKey
from runtime.api_settings import ApiSettings

KEY = "ak_live:550e8400-e29b-41d4-a716-446655440000:made-up-secret"


def test_no_representation_shows_the_key() -> None:
    settings = ApiSettings(meetergo_api_key=KEY)
    with settings.api_client(None) as api_client:
        assert "made-up-secret" not in f"{settings!r} {settings} {api_client!r} {api_client}"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"meetergo_api_key": "made-up-secret"}, "MEETERGO_API_KEY cannot be used: a Platform API key looks like"),
        (
            {"meetergo_api_url": "http://127.0.0.1.example.com"},
            "MEETERGO_API_URL cannot be used: it should start with https://",
        ),
        (
            {"meetergo_api_url": "https://api..example.com"},
            "MEETERGO_API_URL cannot be used: a part of its host is empty, or longer than 63 characters",
        ),
    ],
)
def test_an_unusable_value_ends_with_a_message_that_does_not_quote_it(
    values: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        ApiSettings.load(**values)
    printed = capsys.readouterr().err
    assert message in printed
    assert "made-up-secret" not in printed


@pytest.mark.parametrize("host", ["proxy..example", "p" * 64 + ".example"])
def test_a_proxy_whose_host_nobody_could_look_up_ends_with_a_message(
    host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{host}:3128")
    with pytest.raises(SystemExit):
        ApiSettings.load()
    assert "HTTPS_PROXY cannot be used: a part of its host is empty" in capsys.readouterr().err


def test_without_a_key_there_is_no_client() -> None:
    with pytest.raises(UnusableKey):
        ApiSettings(meetergo_api_key="").api_client(None)
