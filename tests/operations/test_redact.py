"""Secrets are redacted wherever they appear; everything else stays readable."""

import time
from typing import Any

import pytest

from operations.redact import redact, redact_text


@pytest.mark.parametrize(
    "content",
    [
        {"secret": "hidden"},
        {"data": [{"deep": [{"Secret": "hidden"}]}]},
        {"cancelToken": "hidden", "access_token": "hidden", "X-Api-Key": "hidden"},
        {"PASSWORD": "hidden", "password2": "hidden", "passwd": "hidden"},
        {"credentials": {"user": "hidden", "list": ["hidden"]}},
        {"secret": ["hidden"], "apiKey": {"value": "hidden"}},
        {"link": "https://zoom.example/j/1?pwd=hidden&x=1"},
        {"text": "call with token: hidden, please"},
        {"packed": '{"secret": "hid\\"hidden", "id": 1}'},
        {"headers": "Authorization: Bearer hidden"},
    ],
)
def test_a_secret_is_redacted(content: Any) -> None:
    assert "hidden" not in str(redact(content))
    assert "***" in str(redact(content))


@pytest.mark.parametrize(
    "text",
    [
        '{"secret": "hidden',
        '{"secret": "a\\"hidden',
        "{'secret': 'hidden",
        '{\\"secret\\": \\"hidden\\", \\"id\\": 1}',
        "secret=hidden&id=1",
        "%22secret%22%3A%22hidden%22",
        '{"secret": {"a": "hidden',
        "token hidden in: token=hidden"[15:],
        "ValueError: password = 'hidden'",
    ],
)
def test_a_secret_in_broken_text_is_redacted(text: str) -> None:
    assert "hidden" not in redact_text(text)


def test_everything_else_is_unchanged() -> None:
    plain = {"id": "b1", "attendees": [{"email": "guest@example.com"}], "secret": None, "n": 1, "ok": True}
    assert redact(plain) == plain
    assert redact_text("the body is encrypted with key 0123456789ab") == "the body is encrypted with key 0123456789ab"


@pytest.mark.parametrize("hostile", ["token" * 50_000, "secret " * 40_000, "token=%22" * 30_000, 'pwd:"\\' * 40_000])
def test_redaction_takes_bounded_time(hostile: str) -> None:
    before = time.process_time()
    redact_text(hostile)
    assert time.process_time() - before < 5
