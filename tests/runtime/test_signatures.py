"""Signatures compared with published examples and with our own senders."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from runtime.signatures import DEFAULT_HEADERS, MalformedSecret, Verifier
from tests.payloads import FIXTURES

OURS = {"standard-webhooks": "standard", "stripe": "timestamped", "github": "hex", "shopify": "base64"}
SECRETS = {scheme: ["old secret", "nëw secret"] for scheme in OURS.values()}
SECRETS["standard"] = ["whsec_" + "b2xk" * 8, "bmV3" * 8]
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
BODY = '{"name": "Zoë"}'.encode()
KNOWN = json.loads((FIXTURES / "signatures.json").read_text())

every_scheme = pytest.mark.parametrize("scheme", OURS.values())
timed_schemes = pytest.mark.parametrize("scheme", ["standard", "timestamped"])


def signed(scheme: str, secrets: list[str] | None = None, at: datetime = NOW) -> dict[str, str]:
    return Verifier(scheme, secrets or SECRETS[scheme]).sign(BODY, "msg_1", at)


@pytest.mark.parametrize("case", KNOWN, ids=[case["name"] for case in KNOWN])
def test_known_answers(case: dict[str, Any]) -> None:
    scheme = OURS[case["scheme"]]
    secrets = [case["secret"]] if isinstance(case["secret"], str) else case["secret"]
    header = next(name for name in case["headers"] if name.lower().endswith(("signature", "256")))
    verifier = Verifier(scheme, secrets, header, timedelta(seconds=case.get("tolerance", 300)))
    headers = {name.lower(): value for name, value in case["headers"].items()}
    now = datetime.fromtimestamp(case.get("now", 0), UTC)
    assert verifier.verify(headers, case["body"].encode(), now) is case["valid"]


@every_scheme
def test_a_signature_holds_for_the_very_bytes_and_no_others(scheme: str) -> None:
    verifier = Verifier(scheme, SECRETS[scheme])
    assert verifier.verify(signed(scheme), BODY, NOW)
    for changed in (b"", BODY + b" ", BODY[:-1], BODY.replace(b"Z", b"z")):
        assert not verifier.verify(signed(scheme), changed, NOW)


@every_scheme
def test_the_newest_secret_signs_and_any_verifies(scheme: str) -> None:
    old, new = ([secret] for secret in SECRETS[scheme])
    assert Verifier(scheme, new).verify(signed(scheme), BODY, NOW)
    assert Verifier(scheme, old + new).verify(signed(scheme, old), BODY, NOW)
    assert not Verifier(scheme, new).verify(signed(scheme, old), BODY, NOW)


@every_scheme
def test_another_scheme_or_no_header_at_all_does_not_verify(scheme: str) -> None:
    verifier = Verifier(scheme, SECRETS[scheme], "x-mac")
    others = [Verifier(other, SECRETS[other], "x-mac").sign(BODY, "msg_1", NOW) for other in DEFAULT_HEADERS]
    assert [verifier.verify(headers, BODY, NOW) for headers in others] == [other == scheme for other in DEFAULT_HEADERS]
    assert not verifier.verify({}, BODY, NOW)


@timed_schemes
@pytest.mark.parametrize(("seconds", "fresh"), [(-301, False), (-300, True), (0, True), (300, True), (301, False)])
def test_a_signed_time_may_be_five_minutes_off_in_both_directions(scheme: str, seconds: int, fresh: bool) -> None:
    headers = signed(scheme, at=NOW + timedelta(seconds=seconds))
    assert Verifier(scheme, SECRETS[scheme]).verify(headers, BODY, NOW) is fresh


@timed_schemes
def test_a_tolerance_of_zero_means_this_very_second(scheme: str) -> None:
    verifier = Verifier(scheme, SECRETS[scheme], tolerance=timedelta(0))
    assert verifier.verify(signed(scheme), BODY, NOW)
    assert not verifier.verify(signed(scheme), BODY, NOW + timedelta(seconds=1))


def test_the_reference_library_of_standard_webhooks_agrees_with_us() -> None:
    secret, now = SECRETS["standard"][0], datetime.now(UTC)
    theirs = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp()))}
    theirs["webhook-signature"] = Webhook(secret).sign("msg_1", now, BODY.decode())
    assert Verifier("standard", [secret]).verify(theirs, BODY, now)
    assert Verifier("standard", [secret]).sign(BODY, "msg_1", now) == theirs


@pytest.mark.parametrize(
    ("header", "beside"), [("svix-signature", "svix-"), ("X-Relay-Signature", "x-relay-"), ("x-mac", "webhook-")]
)
def test_another_header_of_standard_webhooks_has_its_siblings_beside_it(header: str, beside: str) -> None:
    verifier = Verifier("standard", SECRETS["standard"], header)
    headers = verifier.sign(BODY, "msg_1", NOW)
    assert set(headers) == {header.lower(), f"{beside}id", f"{beside}timestamp"}
    assert verifier.verify(headers, BODY, NOW)


@pytest.mark.parametrize("secret", ["whsec_not base64", "whsec_", "", "ä", "a"])
def test_a_secret_that_is_not_base64_is_refused_by_standard_webhooks(secret: str) -> None:
    with pytest.raises(MalformedSecret) as refusal:
        Verifier("standard", [secret])
    assert "not base64" not in str(refusal.value)


@pytest.mark.parametrize("scheme", ["timestamped", "hex", "base64"])
def test_an_empty_secret_is_refused(scheme: str) -> None:
    with pytest.raises(MalformedSecret):
        Verifier(scheme, ["good", ""])
