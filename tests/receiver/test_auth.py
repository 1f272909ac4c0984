"""Who is refused learns little, and leaves nothing behind."""

import gzip
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from runtime.signed_address import WEBHOOK_PATH, AddressSigner
from tests.payloads import payload
from tests.receiver.conftest import ADDRESS, KEY, OLD_KEY, MakeApp
from tests.receiver.in_process import ReceiverInProcess

BODY = payload("booking_created")
SOME_KEY = "some other key " * 3
CHUNKED: dict[str, Any] = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
TOO_LARGE = b" " * 1001

AssertRejected = Callable[[TestResponse, int], None]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # it is decided before either is asked


@pytest.fixture
def assert_rejected(stored: Callable[[], list[bytes]], redis: Redis) -> AssertRejected:
    """Asserts the status, a small JSON answer, and that nothing was stored or queued."""

    def check(response: TestResponse, status: int) -> None:
        assert response.status_code == status
        assert response.content_type == "application/json"
        assert set(response.json) == {"status", "reason"}
        assert response.json["status"] == "refused"
        assert len(response.data) < 100
        assert stored() == []
        assert redis.keys("*") == []

    return check


BAD_PATHS = [
    WEBHOOK_PATH,
    f"{WEBHOOK_PATH}/",
    f"{WEBHOOK_PATH}/default",
    f"{WEBHOOK_PATH}/default.{'A' * 43}",
    ADDRESS[:-1],
    f"{ADDRESS[:-5]}XXXXX",
    f"{ADDRESS}/",
    f"{ADDRESS}/more",
    f"{ADDRESS}\n",
    f"{ADDRESS}\0",
    f"/{ADDRESS}",
    f"/{WEBHOOK_PATH}/{ADDRESS}",
    "",
    ADDRESS.replace("/webhooks/", "/webhooks//"),
    ADDRESS.replace("default", "other"),
    ADDRESS.upper(),
    f"{WEBHOOK_PATH}/é",
    f"{WEBHOOK_PATH}/\xc3\xa9",
    AddressSigner([SOME_KEY]).path("default"),
    AddressSigner([KEY]).path("other"),
    "/elsewhere",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_bad_address_is_404(app: ReceiverInProcess, assert_rejected: AssertRejected, path: str) -> None:
    response = app.test_client().post("/", data=BODY, environ_overrides={"PATH_INFO": path})
    assert_rejected(response, 404)


def test_a_bad_address_is_404_without_a_look_at_the_body(
    app: ReceiverInProcess, assert_rejected: AssertRejected
) -> None:
    stream = BytesIO(BODY)
    assert_rejected(app.test_client().post(BAD_PATHS[3], input_stream=stream, environ_overrides=CHUNKED), 404)
    assert not stream.closed
    assert stream.tell() == 0


@pytest.mark.parametrize("path", [ADDRESS, WEBHOOK_PATH, BAD_PATHS[3]])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_another_method_is_405_and_tells_which_is_allowed(
    app: ReceiverInProcess, assert_rejected: AssertRejected, path: str, method: str
) -> None:
    response = app.test_client().open(path, method=method, data=BODY)
    assert_rejected(response, 405)
    assert "POST" in response.headers["Allow"]


def test_a_body_above_the_limit_is_413_by_its_stated_length(make_app: MakeApp, assert_rejected: AssertRejected) -> None:
    stream = BytesIO(TOO_LARGE)
    assert_rejected(make_app(webhook_max_body=1000).test_client().post(ADDRESS, input_stream=stream), 413)
    assert stream.tell() == 0


def test_a_body_above_the_limit_is_413_without_a_stated_length(
    make_app: MakeApp, assert_rejected: AssertRejected
) -> None:
    client = make_app(webhook_max_body=1000).test_client()
    assert_rejected(client.post(ADDRESS, input_stream=BytesIO(TOO_LARGE * 9), environ_overrides=CHUNKED), 413)


@pytest.mark.parametrize("environ", [{}, CHUNKED], ids=["stated", "chunked"])
def test_a_body_as_large_as_the_limit_is_accepted(make_app: MakeApp, environ: dict[str, Any]) -> None:
    client = make_app(webhook_max_body=len(BODY)).test_client()
    assert client.post(ADDRESS, input_stream=BytesIO(BODY), environ_overrides=environ).status_code == 200


@pytest.mark.parametrize(
    "environ",
    [{"CONTENT_LENGTH": str(len(BODY) + 1)}, {"CONTENT_LENGTH": "200000"}, CHUNKED],
    ids=["one missing", "much missing", "chunked"],
)
def test_a_body_that_was_cut_off_is_400(
    app: ReceiverInProcess, assert_rejected: AssertRejected, environ: dict[str, Any]
) -> None:
    sent = BODY[:-1] if environ is CHUNKED else BODY
    assert_rejected(app.test_client().post(ADDRESS, input_stream=BytesIO(sent), environ_overrides=environ), 400)


@pytest.mark.parametrize("environ", [{}, {"CONTENT_LENGTH": "0"}, CHUNKED])
def test_an_empty_body_is_400(app: ReceiverInProcess, assert_rejected: AssertRejected, environ: dict[str, Any]) -> None:
    assert_rejected(app.test_client().post(ADDRESS, input_stream=BytesIO(), environ_overrides=environ), 400)


def test_a_body_whose_end_the_server_cannot_know_is_411(
    app: ReceiverInProcess, assert_rejected: AssertRejected
) -> None:
    assert_rejected(app.test_client().post(ADDRESS, data=BODY, environ_overrides={"CONTENT_LENGTH": ""}), 411)


@pytest.mark.parametrize(
    "length", ["-1", "+5", "1_0", "0x10", "1e3", "nan", "5, 5", " 5", "\u0665", "²", "9" * 19, "9" * 5000]
)
def test_a_length_that_is_no_number_is_400(
    app: ReceiverInProcess, assert_rejected: AssertRejected, length: str
) -> None:
    assert_rejected(app.test_client().post(ADDRESS, data=BODY, environ_overrides={"CONTENT_LENGTH": length}), 400)


@pytest.mark.parametrize("signed_with", [OLD_KEY, KEY])
def test_an_address_outlives_the_newest_key_as_long_as_its_own_is_listed(
    app: ReceiverInProcess, signed_with: str
) -> None:
    assert app.test_client().post(AddressSigner([signed_with]).path("default"), data=BODY).status_code == 200


def test_an_address_ends_with_its_key(make_app: MakeApp, assert_rejected: AssertRejected) -> None:
    client = make_app(webhook_keys=[KEY]).test_client()
    assert_rejected(client.post(AddressSigner([OLD_KEY]).path("default"), data=BODY), 404)


def test_an_inbox_of_another_account_has_another_address(make_app: MakeApp, assert_rejected: AssertRejected) -> None:
    client = make_app(webhook_account="other").test_client()
    assert_rejected(client.post(ADDRESS, data=BODY), 404)
    assert client.post(AddressSigner([KEY]).path("other"), data=BODY).status_code == 200


@pytest.mark.parametrize(
    "encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "x-gzip", "aes128gcm", "\xff"]
)
@pytest.mark.parametrize("environ", [{}, CHUNKED], ids=["stated", "chunked"])
def test_a_body_that_is_compressed_is_415_unread(
    app: ReceiverInProcess, assert_rejected: AssertRejected, encoding: str, environ: dict[str, Any]
) -> None:
    stream, headers = BytesIO(gzip.compress(BODY)), {"HTTP_CONTENT_ENCODING": encoding}
    response = app.test_client().post(ADDRESS, input_stream=stream, environ_overrides=environ | headers)
    assert_rejected(response, 415)
    assert response.json["reason"] == "send the body without content-encoding, and JSON in UTF-8"
    assert not stream.tell()


@pytest.mark.parametrize("environ", [{}, CHUNKED], ids=["stated", "chunked"])
def test_a_body_of_gzip_that_no_header_names_is_415(
    app: ReceiverInProcess, assert_rejected: AssertRejected, environ: dict[str, Any]
) -> None:
    stream = BytesIO(gzip.compress(BODY))
    assert_rejected(app.test_client().post(ADDRESS, input_stream=stream, environ_overrides=environ), 415)


@pytest.mark.parametrize(
    "charset",
    ["iso-8859-1", "ISO-8859-15", "utf-16", "UTF-16LE", "utf-32", "windows-1252", "latin1", "martian", '"utf-16"'],
)
def test_a_body_in_another_charset_is_415(
    app: ReceiverInProcess, assert_rejected: AssertRejected, charset: str
) -> None:
    content_type = f"application/json; charset={charset}"
    assert_rejected(app.test_client().post(ADDRESS, data=BODY, content_type=content_type), 415)


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " identity , identity"])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json;charset=UTF-8",
        'application/json; charset="utf8"',
        "text/plain; charset=us-ascii",
        "",
    ],
)
def test_a_body_that_is_plain_utf8_is_accepted(app: ReceiverInProcess, encoding: str, content_type: str) -> None:
    client, headers = app.test_client(), {"HTTP_CONTENT_ENCODING": encoding}
    assert client.post(ADDRESS, data=BODY, content_type=content_type, environ_overrides=headers).status_code == 200


def test_who_does_not_know_the_address_does_not_learn_what_is_wrong_with_a_body(
    app: ReceiverInProcess, assert_rejected: AssertRejected
) -> None:
    headers = {"HTTP_CONTENT_ENCODING": "gzip"}
    assert_rejected(app.test_client().post(BAD_PATHS[3], data=BODY, environ_overrides=headers), 404)
