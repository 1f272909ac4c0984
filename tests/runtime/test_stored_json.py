"""JSON columns are read as Python's own reader does, whatever an earlier version or the platform stored there."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.booking import Booking
from runtime.database import Database, read_json
from tests.raw_sql import sql

AT = datetime(2024, 1, 15, 8, tzinfo=UTC)
ODD = [
    '"half \\ud800 of a pair"',
    f"{'[' * 400}{']' * 400}",
    '{"twice": 1, "twice": 2}',
    "123456789012345678901234567890",
    "[1e400, -0, 0.30000000000000004, NaN, -Infinity]",
    ' {"a\\u0000b": "\U0001f600 \\ud83d\\ude00"} ',
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@pytest.mark.parametrize("stored", ODD)
def test_odd_values_are_read_as_by_python(stored: str) -> None:
    assert repr(read_json(stored)) == repr(read_json(stored.encode())) == repr(json.loads(stored))


@given(values)
def test_any_value_is_read_as_by_python(value: Any) -> None:
    stored = json.dumps(value)
    assert repr(read_json(stored)) == repr(json.loads(stored))


@pytest.mark.parametrize("stored", ["", "nul", "[1,]", '"\x00"', "01", "-"])
def test_what_is_no_json_is_an_error(stored: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(stored)


def test_a_booking_with_half_of_a_surrogate_pair_is_loaded(database: Database) -> None:
    if database.supports_skip_locked:
        pytest.skip("PostgreSQL stores no such value as jsonb")
    with database.transaction() as session:
        Booking.get_for_update(session, ["a"], AT)
        stored = {"stored": '{"odd": "half \\ud800"}'}
        session.execute(sql(session, "UPDATE bookings SET metadata = :stored"), stored)
    with database.read_only() as session:
        assert session.get_one(Booking, "a").metadata_ == {"odd": "half \ud800"}
