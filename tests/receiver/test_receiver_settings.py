"""The receiver's own settings: the signature, the size of a body, the port."""

from datetime import UTC, datetime

import pytest

from receiver.settings import ReceiverSettings

SECRET = "c2VjcmV0LXRoYXQtaXMtaGlkZGVu"


@pytest.fixture(autouse=True)
def required(monkeypatch: pytest.MonkeyPatch, no_settings_from_outside: None) -> None:
    monkeypatch.setenv("WEBHOOK_KEYS", "new-key-" * 4)
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = ReceiverSettings.load()
    assert (settings.webhook_account, settings.webhook_max_body, settings.port) == ("default", 262144, 8000)
    assert (settings.webhook_signature_scheme, settings.webhook_signature_tolerance) == ("", 300)
    assert settings.verifier() is None
    assert settings.webhook_address_optional is False


@pytest.mark.parametrize(
    ("scheme", "header"),
    [
        ("standard", "webhook-signature"),
        ("timestamped", "webhook-signature"),
        ("hex", "x-hub-signature-256"),
        ("base64", "x-signature"),
    ],
)
def test_each_scheme_has_its_own_header(monkeypatch: pytest.MonkeyPatch, scheme: str, header: str) -> None:
    monkeypatch.setenv("WEBHOOK_SIGNATURE_SCHEME", scheme)
    monkeypatch.setenv("WEBHOOK_SIGNATURE_SECRETS", f"bm90IHRoaXM=, {SECRET}")
    settings = ReceiverSettings.load()
    verifier = settings.verifier()
    assert verifier is not None
    headers = verifier.sign(b"{}", "msg_1", datetime.now(UTC))
    assert header in headers
    assert verifier.verify(headers, b"{}", datetime.now(UTC))
    assert SECRET not in repr(settings)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"WEBHOOK_SIGNATURE_SCHEME": "md5"}, "WEBHOOK_SIGNATURE_SCHEME"),
        ({"WEBHOOK_SIGNATURE_SCHEME": "hex"}, "WEBHOOK_SIGNATURE_SECRETS"),
        ({"WEBHOOK_SIGNATURE_SCHEME": "hex", "WEBHOOK_SIGNATURE_SECRETS": " , "}, "WEBHOOK_SIGNATURE_SECRETS"),
        (
            {"WEBHOOK_SIGNATURE_SCHEME": "standard", "WEBHOOK_SIGNATURE_SECRETS": "~hidden~"},
            "WEBHOOK_SIGNATURE_SECRETS",
        ),
        ({"WEBHOOK_ADDRESS_OPTIONAL": "True"}, "WEBHOOK_ADDRESS_OPTIONAL"),
        ({"WEBHOOK_ADDRESS_OPTIONAL": "hidden"}, "WEBHOOK_ADDRESS_OPTIONAL"),
        ({"WEBHOOK_SIGNATURE_TOLERANCE": "-1"}, "WEBHOOK_SIGNATURE_TOLERANCE"),
        ({"WEBHOOK_SIGNATURE_TOLERANCE": "nan"}, "WEBHOOK_SIGNATURE_TOLERANCE"),
        ({"WEBHOOK_MAX_BODY": "0"}, "WEBHOOK_MAX_BODY"),
        ({"WEBHOOK_MAX_BODY": "hidden"}, "WEBHOOK_MAX_BODY"),
        ({"PORT": "65536"}, "PORT"),
        ({"WEB_THREADS": "0"}, "WEB_THREADS"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT"),
        ({"METRICS_PORT": "8001", "PORT": "8001", "HOST": "127.0.0.1"}, "METRICS_PORT"),
    ],
)
def test_a_bad_setting_ends_the_process_with_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], changes: dict[str, str], name: str
) -> None:
    for changed, value in changes.items():
        monkeypatch.setenv(changed, value)
    with pytest.raises(SystemExit) as exit_info:
        ReceiverSettings.load()
    [message] = capsys.readouterr().err.splitlines()
    assert exit_info.value.code == 2
    assert message.startswith(f"{name} ")
    assert "hidden" not in message


def test_the_metrics_may_have_the_same_port_of_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "127.0.0.2")
    monkeypatch.setenv("METRICS_PORT", "8000")
    assert ReceiverSettings.load().metrics_port == 8000
