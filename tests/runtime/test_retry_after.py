from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from meetergo.retry_after import parse_retry_after

NOW = datetime(2026, 1, 10, 8, tzinfo=UTC)


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
    assert parse_retry_after(asked, NOW) == expected


@pytest.mark.parametrize(
    "asked",
    [None, "", "soon", "-5", "1.5", "1e3", "²", "٣", "Sat, 99 Jan 2026 08:05:00 GMT", "Sat, 10 Jan 99999 08:05:00 GMT"],
)
def test_a_retry_after_that_is_neither_asks_for_nothing(asked):
    assert parse_retry_after(asked, NOW) is None


@given(some.text() | some.from_regex(r"\w{3}, \d+ Jan \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_no_retry_after_breaks_us(asked):
    asked_wait = parse_retry_after(asked, NOW)

    assert asked_wait is None or timedelta(0) <= asked_wait <= timedelta(days=1)
