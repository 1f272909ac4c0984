"""With a signature configured, it has to hold; if a setting says so, it makes up for an address without a token."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from runtime.signatures import Verifier
from runtime.signed_address import WEBHOOK_PATH, AddressSigner
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, MakeApp

BODY = payload("booking_created")
OLD, NEW = "b2xk" * 8, "bmV3" * 8
every_scheme = pytest.mark.parametrize("scheme", ["standard", "timestamped", "hex", "base64"])

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # it is decided before either is asked


def signature(scheme: str, secret: str = NEW, header: str = "", late: int = 0) -> dict[str, str]:
    return Verifier(scheme, [secret], header).sign(BODY, "msg_1", datetime.now(UTC) - timedelta(seconds=late))


@pytest.fixture
def post(make_app: MakeApp) -> Callable[..., TestResponse]:
    def send(scheme: str, path: str, headers: dict[str, str], body: bytes = BODY, **settings: Any) -> TestResponse:
        signed = {"webhook_signature_scheme": scheme, "webhook_signature_secrets": [OLD, NEW]}
        app = make_app(**(signed | {"webhook_address_optional": True} | settings))
        return app.test_client().post(path, data=body, headers=headers)

    return send


@pytest.fixture
def nothing_is_stored(stored: Callable[[], list[bytes]], redis: Redis) -> Callable[[], bool]:
    return lambda: stored() == [] and redis.keys("*") == []


@every_scheme
@pytest.mark.parametrize("path", [ADDRESS, WEBHOOK_PATH], ids=["token", "no token"])
@pytest.mark.parametrize("secret", [OLD, NEW], ids=["old", "new"])
def test_a_signature_by_any_secret_lets_in(
    post: Callable[..., TestResponse], stored: Callable[[], list[bytes]], scheme: str, path: str, secret: str
) -> None:
    assert post(scheme, path, signature(scheme, secret)).status_code == 200
    assert stored() == [BODY]


@every_scheme
@pytest.mark.parametrize("path", [ADDRESS, WEBHOOK_PATH], ids=["token", "no token"])
@pytest.mark.parametrize("wrong", ["missing", "of another secret", "of another body", "hostile", "empty"])
def test_a_wrong_signature_is_401_with_a_good_token_too(
    post: Callable[..., TestResponse], nothing_is_stored: Callable[[], bool], scheme: str, path: str, wrong: str
) -> None:
    good = signature(scheme)
    headers = {
        "missing": {},
        "of another secret": signature(scheme, "b3RoZXI="),
        "of another body": good,
        "hostile": dict.fromkeys(good, "t=nan,v1=\xff\xfe,v1,==="),
        "empty": dict.fromkeys(good, ""),
    }[wrong]
    response = post(scheme, path, headers, BODY + b" " if wrong == "of another body" else BODY)
    assert (response.status_code, response.json) == (401, {"status": "refused", "reason": "bad signature"})
    assert nothing_is_stored()


@every_scheme
@pytest.mark.parametrize("token", ["/default.forged", "/", f"/default.{'A' * 43}"])
def test_a_good_signature_does_not_make_up_for_a_forged_token(
    post: Callable[..., TestResponse], nothing_is_stored: Callable[[], bool], scheme: str, token: str
) -> None:
    assert post(scheme, WEBHOOK_PATH + token, signature(scheme)).status_code == 404
    other = AddressSigner(["some other key " * 3]).path("default")
    assert post(scheme, other, signature(scheme)).status_code == 404
    assert nothing_is_stored()


@pytest.mark.parametrize("scheme", ["standard", "timestamped"])
@pytest.mark.parametrize("late", [-3600, 3600])
def test_a_signature_of_another_hour_is_401_unless_that_is_tolerated(
    post: Callable[..., TestResponse], nothing_is_stored: Callable[[], bool], scheme: str, late: int
) -> None:
    headers = signature(scheme, late=late)
    assert post(scheme, WEBHOOK_PATH, headers).status_code == 401
    assert nothing_is_stored()
    assert post(scheme, WEBHOOK_PATH, headers, webhook_signature_tolerance=7200).status_code == 200


@every_scheme
def test_the_header_can_have_another_name(post: Callable[..., TestResponse], scheme: str) -> None:
    settings = {"webhook_signature_header": "X-Relay-Signature"}
    assert post(scheme, WEBHOOK_PATH, signature(scheme, header="x-relay-signature"), **settings).status_code == 200
    assert post(scheme, WEBHOOK_PATH, signature(scheme), **settings).status_code == 401
