"""Which error of ours an answer is, and what it says."""

from typing import Any

import pytest

from meetergo.api import Meetergo, errors
from meetergo.api.errors import ApiError, BadRequest, PlanLimit
from meetergo.api.redact import redact
from tests.meetergo.api.conftest import PLATFORM_KEY, TOKEN
from tests.meetergo.api.provider import Answer, Provider, recorded

CASES = recorded("errors")


@pytest.mark.parametrize("case", CASES, ids=[f"{case['status']}-{case['error']}" for case in CASES])
def test_known_answers(case: dict[str, Any], provider: Provider, client: Meetergo) -> None:
    provider.will(Answer(case["status"], b"" if case["body"] is None else case["body"]))
    with pytest.raises(ApiError) as raised:
        client.meeting_types()
    error = raised.value
    assert type(error) is getattr(errors, case["error"])
    assert (error.status, error.said, error.is_transient) == (case["status"], case["said"], False)
    assert f"answered {case['status']} to GET /v4/meeting-type" in str(error)


@pytest.mark.parametrize("content", [b"", b"<html>no</html>", b"\xff\xfe", b"{", b"null", b'"text"', b"[" * 100_000])
@pytest.mark.parametrize(("status", "kind"), [(400, "BadRequest"), (404, "NotFound"), (500, "Unavailable")])
def test_a_refusal_without_readable_json_is_judged_by_its_status(
    content: bytes, status: int, kind: str, provider: Provider, client: Meetergo
) -> None:
    provider.will(Answer(status, content))
    with pytest.raises(getattr(errors, kind)):
        client.meeting_types()


def test_the_fields_at_fault_are_named(provider: Provider, client: Meetergo) -> None:
    provider.will(Answer(CASES[0]["status"], CASES[0]["body"]))
    with pytest.raises(BadRequest) as raised:
        client.meeting_types()
    assert raised.value.fields == {"timezone": "BadRequest timezone"}
    assert str(raised.value).endswith("(Validation failed; timezone: BadRequest timezone)")


def test_a_plan_limit_names_the_feature(provider: Provider, client: Meetergo) -> None:
    provider.will(Answer(403, {"code": "PLAN_LIMIT_REACHED", "feature": "webhooks"}))
    with pytest.raises(PlanLimit) as raised:
        client.webhooks()
    assert raised.value.feature == "webhooks"


def test_an_error_quotes_no_person_and_no_key(provider: Provider, client: Meetergo) -> None:
    told = {
        "message": [
            f"{PLATFORM_KEY} may not",
            "Host@example.com or other@example.com and +49 170 1234567 are taken: Hosty Mc Host",
        ],
        "errors": [{"field": "givenName", "message": f"hosty at https://example.com/{TOKEN} for {TOKEN}"}],
    }
    provider.will(Answer(400, told))
    with pytest.raises(ApiError) as raised:
        client.create_user("host@example.com", "Hosty", "Mc Host", "Europe/Berlin")
    words = f"{raised.value!r} {raised.value} {raised.value.said} {raised.value.fields}".lower()
    assert not [
        secret for secret in ("hosty", "mc host", "example", "other", "4567", "secret", "t0ken") if secret in words
    ]
    assert raised.value.said == "[key] may not; [person] or [e-mail] and [number] are taken: [person] [person]"


def test_long_words_are_cut() -> None:
    assert len(redact("word " * 1000)) == 300


def test_errors_say_what_to_do() -> None:
    assert str(errors.KeyExpired("no")) == "no: make a new key in meetergo and configure it"


def test_what_is_transient() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ApiError)]
    assert {kind.__name__ for kind in kinds if kind.is_transient} == {"Unavailable", "RateLimited", "Unreadable"}
