"""Which requests are retried, verified by counting them."""

from datetime import timedelta

import pytest

from meetergo.api import Meetergo, transport
from meetergo.api.errors import ApiError, BadRequest, BadResponse, OutcomeUnknown, RateLimited, Unavailable
from tests.meetergo.api.conftest import OpenClient
from tests.meetergo.api.fake_api import DISCONNECTS, SILENT, FakeApi, FakeResponse, recorded
from tests.worker.channels.slow_server import slow_server

TRANSIENT = [429, 502, 503, 504]
ME = FakeResponse(200, recorded("user_me"))


def read(client: Meetergo) -> object:
    return client.users.me()


def write(client: Meetergo) -> object:
    return client.users.create("host@example.com", "The", "Host", "Europe/Berlin")


def failure(client: Meetergo, call: object) -> ApiError:
    with pytest.raises(ApiError) as raised:
        call(client)  # type: ignore[operator]
    return raised.value


@pytest.mark.parametrize("status", TRANSIENT)
def test_a_read_is_sent_at_most_three_times(
    status: int, fake_api: FakeApi, client: Meetergo, sleeps: list[float]
) -> None:
    fake_api.respond_with(FakeResponse(status))
    error = failure(client, read)
    assert isinstance(error, Unavailable)
    assert (error.status, error.is_transient) == (status, True)
    assert (len(fake_api.requests), len(sleeps)) == (3, 2)


@pytest.mark.parametrize("faults", [*map(FakeResponse, TRANSIENT), DISCONNECTS])
def test_a_read_that_finally_succeeds_is_a_success(faults: FakeResponse, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(faults, faults, ME)
    assert client.users.me().id == "admin-1"
    assert len(fake_api.requests) == 3


def test_a_read_is_retried_when_the_connection_is_dropped(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(DISCONNECTS)
    error = failure(client, read)
    assert isinstance(error, Unavailable)
    assert (error.status, len(fake_api.requests)) == (None, 3)


def test_a_read_without_a_response_times_out_and_is_retried(fake_api: FakeApi, open_client: OpenClient) -> None:
    fake_api.respond_with(SILENT, ME)
    assert open_client(timeout=timedelta(milliseconds=200)).users.me().id == "admin-1"
    assert len(fake_api.requests) == 2


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n"], ids=["until closed", "chunked"])
def test_a_body_that_drips_times_out(head: bytes, open_client: OpenClient) -> None:
    body = b" " if not head else b"1\r\n \r\n"
    with slow_server(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n", drip=body, waits_for=65536) as place:
        error = failure(open_client(base_url=f"http://{place}", timeout=timedelta(milliseconds=300)), read)
    assert isinstance(error, Unavailable)
    assert "ReadTimeout" in str(error)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 406, 409, 500, 501])
def test_no_other_response_to_a_read_is_retried(status: int, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(status))
    assert failure(client, read).is_transient == (status in (301, 500, 501))
    assert len(fake_api.requests) == 1


def test_a_write_is_retried_on_429(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(429), FakeResponse(429), FakeResponse(201, recorded("user_created")))
    write(client)
    assert len(fake_api.requests) == 3
    fake_api.respond_with(FakeResponse(429))
    error = failure(client, write)
    assert isinstance(error, RateLimited)
    assert (error.is_transient, len(fake_api.requests)) == (True, 3)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_write_that_may_have_been_applied_is_never_retried(status: int, fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(status), ME)
    error = failure(client, write)
    assert isinstance(error, OutcomeUnknown)
    assert (error.status, error.is_transient, len(fake_api.requests)) == (status, False, 1)


@pytest.mark.parametrize(
    "faults", [DISCONNECTS, SILENT, FakeResponse(201), FakeResponse(201, b"<html>"), FakeResponse(201, {"no": "id"})]
)
def test_a_write_with_a_bad_response_has_an_unknown_outcome(
    faults: FakeResponse, fake_api: FakeApi, open_client: OpenClient
) -> None:
    fake_api.respond_with(faults)
    error = failure(open_client(timeout=timedelta(milliseconds=200)), write)
    assert isinstance(error, OutcomeUnknown)
    assert (error.is_transient, len(fake_api.requests)) == (False, 1)


@pytest.mark.parametrize("call", [read, write])
def test_a_refused_connection_is_unavailable(call: object, open_client: OpenClient, sleeps: list[float]) -> None:
    error = failure(open_client(base_url="http://127.0.0.1:9"), call)
    assert isinstance(error, Unavailable)
    assert len(sleeps) == (2 if call is read else 0)


@pytest.mark.parametrize("content", [b"<html>busy</html>", b"", b"[" * 100_000])
def test_a_malformed_success_is_a_bad_response_and_not_retried(
    content: bytes, fake_api: FakeApi, client: Meetergo
) -> None:
    fake_api.respond_with(FakeResponse(200, content))
    assert failure(client, read).is_transient
    assert len(fake_api.requests) == 1


@pytest.mark.parametrize(
    ("asked", "slept"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("3600", 20.0),
        ("Sun, 22 Nov 2026 12:00:09 GMT", 9.0),
        ("Sun, 22 Nov 2026 13:00:00 GMT", 20.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_honoured_in_both_forms_up_to_20_seconds(
    asked: str, slept: float, fake_api: FakeApi, client: Meetergo, sleeps: list[float]
) -> None:
    fake_api.respond_with(FakeResponse(429, headers={"Retry-After": asked}), ME)
    client.users.me()
    assert sleeps == [slept]


def test_the_final_error_carries_retry_after(fake_api: FakeApi, open_client: OpenClient) -> None:
    fake_api.respond_with(FakeResponse(503, headers={"Retry-After": "3600"}))
    assert failure(open_client(attempts=1), read).retry_after == timedelta(hours=1)
    fake_api.respond_with(FakeResponse(503, headers={"Retry-After": "9" * 400}))
    assert failure(open_client(attempts=1), read).retry_after == timedelta(days=1)


@pytest.mark.parametrize("asked", [None, "soon", "-5", "Sun, 99 Nov 2026 99:00:00 GMT"])
def test_without_a_valid_retry_after_the_pauses_grow_with_jitter(
    asked: str | None, fake_api: FakeApi, open_client: OpenClient, sleeps: list[float]
) -> None:
    fake_api.respond_with(FakeResponse(429, headers={"Retry-After": asked} if asked else {}))
    failure(open_client(attempts=9), read)
    least = [1, 2, 4, 8, 16, 20, 20, 20]
    assert all(low <= slept <= min(low + 1, 20) for low, slept in zip(least, sleeps, strict=True))
    assert any(slept != round(slept) for slept in sleeps[:4])


def test_a_single_attempt_can_be_configured(fake_api: FakeApi, open_client: OpenClient, sleeps: list[float]) -> None:
    fake_api.respond_with(FakeResponse(503))
    failure(open_client(attempts=1), read)
    assert (len(fake_api.requests), sleeps) == (1, [])


def test_a_redirect_is_not_followed(fake_api: FakeApi, client: Meetergo) -> None:
    redirect = FakeResponse(302, headers={"Location": f"{fake_api.url}/elsewhere"})
    for call, kind in ((read, Unavailable), (write, OutcomeUnknown)):
        fake_api.respond_with(redirect, ME)
        error = failure(client, call)
        assert type(error) is kind
        assert "a redirect, which is not followed" in str(error)
        assert len(fake_api.requests) == 1


@pytest.mark.parametrize("location", ["mailto:status@example.com", "https:x", "http://[::1", "\xff", "https://xn--a/"])
def test_the_address_of_a_redirect_is_not_even_read(location: str, fake_api: FakeApi, client: Meetergo) -> None:
    for call, kind in ((read, Unavailable), (write, OutcomeUnknown)):
        fake_api.respond_with(FakeResponse(302, headers={"Location": location}))
        error = failure(client, call)
        assert (type(error), error.status) == (kind, 302)
        assert "a redirect, which is not followed" in str(error)


def test_a_body_that_does_not_end_is_read_to_a_limit(
    fake_api: FakeApi, client: Meetergo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY", 2**20)
    for call, kind in ((read, BadResponse), (write, OutcomeUnknown)):
        fake_api.respond_with(b" " * 2**20 + b"{}")
        error = failure(client, call)
        assert type(error) is kind
        assert "longer than 1 MiB" in str(error)
        assert len(fake_api.requests) == 1


def test_every_attempt_counts_against_the_limit(fake_api: FakeApi, open_client: OpenClient) -> None:
    passed: list[str] = []

    class CountingLimit:
        def acquire(self, key: str) -> None:
            passed.append(key)

        def close(self) -> None:
            pass

    fake_api.respond_with(FakeResponse(503), FakeResponse(503), ME)
    open_client(rate_limiter=CountingLimit()).users.me()
    assert len(passed) == 3


def test_the_rate_limiter_is_not_waited_for_twice(fake_api: FakeApi, open_client: OpenClient) -> None:
    class FullLimit:
        asked = 0

        def acquire(self, key: str) -> None:
            self.asked += 1
            raise RateLimited("full", retry_after=timedelta(seconds=30))

        def close(self) -> None:
            pass

    limit = FullLimit()
    error = failure(open_client(rate_limiter=limit), read)
    assert (error.retry_after, limit.asked, fake_api.requests) == (timedelta(seconds=30), 1, [])


def test_a_rejection_of_json_for_a_new_user_is_followed_by_a_form(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(415), FakeResponse(201, recorded("user_created")))
    write(client)
    form = fake_api.last
    assert form.headers["content-type"].startswith("multipart/form-data")
    assert b'name="email"\r\n\r\nhost@example.com\r\n' in form.content
    assert len(fake_api.requests) == 2


def test_other_rejections_of_a_new_user_are_not(fake_api: FakeApi, client: Meetergo) -> None:
    fake_api.respond_with(FakeResponse(400, {"message": "Invalid timezone"}))
    assert isinstance(failure(client, write), BadRequest)
    assert len(fake_api.requests) == 1
