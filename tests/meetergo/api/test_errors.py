"""The error for each response, and its message."""

from typing import Any

import pytest

from meetergo.api import Meetergo, errors
from meetergo.api.errors import ApiError, BadRequest, PlanLimit
from meetergo.api.redact import redact
from tests.meetergo.api.conftest import PLATFORM_KEY, TOKEN
from tests.meetergo.api.fake_api import FakeApi, FakeResponse, recorded

CASES = recorded("errors")


@pytest.mark.parametrize("case", CASES, ids=[f"{case['status']}-{case['error']}" for case in CASES])
def test_known_responses(case: dict[str, Any], fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(case["status"], b"" if case["body"] is None else case["body"]))
    with pytest.raises(ApiError) as raised:
        client.meeting_types.list()
    error = raised.value
    assert type(error) is getattr(errors, case["error"])
    assert (error.status, error.detail, error.is_transient) == (case["status"], case["detail"], False)
    assert f"answered {case['status']} to GET /v4/meeting-type" in str(error)


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"\xff\xfe", b"{", b"null", b'"text"', b"[" * 100_000])
@pytest.mark.parametrize(("status", "kind"), [(400, "BadRequest"), (404, "NotFound"), (500, "Unavailable")])
def test_an_error_without_readable_json_is_classified_by_its_status(
    content: bytes, status: int, kind: str, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(FakeResponse(status, content))
    with pytest.raises(getattr(errors, kind)):
        client.meeting_types.list()


def test_invalid_fields_are_named(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(CASES[0]["status"], CASES[0]["body"]))
    with pytest.raises(BadRequest) as raised:
        client.meeting_types.list()
    assert raised.value.fields == {"timezone": "Invalid timezone"}
    assert str(raised.value).endswith("(Validation failed; timezone: Invalid timezone)")


def test_a_plan_limit_names_the_feature(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(403, {"code": "PLAN_LIMIT_REACHED", "feature": "webhooks"}))
    with pytest.raises(PlanLimit) as raised:
        client.webhooks.list()
    assert raised.value.feature == "webhooks"


def test_an_error_quotes_no_person_and_no_key(fake_api: FakeApi, client: Meetergo) -> None:
    response_body = {
        "message": [
            f"{PLATFORM_KEY} may not",
            "Host@example.com or other@example.com and +49 170 1234567 are taken: Hosty Mc Host",
        ],
        "errors": [{"field": "givenName", "message": f"hosty at https://example.com/{TOKEN} for {TOKEN}"}],
    }
    fake_api.respond_with(FakeResponse(400, response_body))
    with pytest.raises(ApiError) as raised:
        client.users.create("host@example.com", "Hosty", "Mc Host", "Europe/Berlin")
    words = f"{raised.value!r} {raised.value} {raised.value.detail} {raised.value.fields}".lower()
    assert not [
        secret for secret in ("hosty", "mc host", "example", "other", "4567", "secret", "t0ken") if secret in words
    ]
    assert raised.value.detail == "[key] may not; [person] or [e-mail] and [number] are taken: [person] [person]"


def test_long_messages_are_truncated() -> None:
    assert len(redact("word " * 1000)) == 300


def test_no_message_has_control_characters() -> None:
    assert redact("\x1b[31mred\x1b[0m\r\n\u202etxt.exe\x07 end") == "[31mred[0m txt.exe end"


def test_errors_say_what_to_do() -> None:
    assert str(errors.KeyExpired("no")) == "no: make a new key in meetergo and configure it"


def test_is_transient() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ApiError)]
    assert {kind.__name__ for kind in kinds if kind.is_transient} == {"Unavailable", "RateLimited", "BadResponse"}
