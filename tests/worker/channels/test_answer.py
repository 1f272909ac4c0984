from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from models.failures import Permanent, Transient
from worker.channels.answer import judge, wait

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_means_taken(status):
    judge(status, None, NOW)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_a_refusal_is_final(status):
    with pytest.raises(Permanent, match=f"^the platform answered {status}$"):
        judge(status, None, NOW)


@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
def test_a_redirect_is_final_and_says_why(status):
    with pytest.raises(Permanent, match="redirects are not followed"):
        judge(status, None, NOW)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again_after_the_time_asked_for(status):
    with pytest.raises(Transient, match=f"^the platform answered {status}$") as failure:
        judge(status, "120", NOW)

    assert failure.value.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("0", timedelta(0)),
        (" 30 ", timedelta(seconds=30)),
        ("86401", timedelta(days=1)),
        ("9" * 5000, timedelta(days=1)),
        ("Sat, 10 Jan 2026 08:05:00 GMT", timedelta(minutes=5)),
        ("Sat, 10 Jan 2026 08:05:00 -0000", timedelta(minutes=5)),
        ("Saturday, 10-Jan-26 08:05:00 GMT", timedelta(minutes=5)),
        ("Sat, 10 Jan 2026 07:00:00 GMT", timedelta(0)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(days=1)),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date_and_capped_at_a_day(asked, expected):
    assert wait(asked, NOW) == expected


@pytest.mark.parametrize(
    "asked",
    [None, "", "soon", "-5", "1.5", "1e3", "²", "٣", "Sat, 99 Jan 2026 08:05:00 GMT", "Sat, 10 Jan 99999 08:05:00 GMT"],
)
def test_a_retry_after_that_is_neither_asks_for_nothing(asked):
    assert wait(asked, NOW) is None


@given(some.text() | some.from_regex(r"\w{3}, \d+ Jan \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_no_retry_after_breaks_us(asked):
    asked_wait = wait(asked, NOW)

    assert asked_wait is None or timedelta(0) <= asked_wait <= timedelta(days=1)
