"""A host can be unmapped from its meetergo user; its bookings stay, and who did it is recorded."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from devtools.send import samples
from models import timeline
from models.employee import Employee
from models.intervention import Intervention
from operations.errors import OperationError
from operations.users.forget import find_mapping, forget
from tests.worker.harness import AT, START, Harness, later, soon
from worker.maintenance.sweeper import sweep


def test_its_bookings_keep_their_owner_until_meetergo_reports_a_change(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness()
    database, now = harness.services.database, datetime.now(UTC)
    user = harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID, email="host@example.com")
    harness.process(*(samples.created(f"b{number}", START, AT) for number in (1, 2, 3)))
    harness.process(samples.cancelled("b3", START, later(1)))
    found = find_mapping(database, "4711", now)
    assert (found.bookings, found.upcoming) == (3, 2)
    assert forget(database, "4711", now, by="jane", reason="left us") == found
    assert [harness.booking(each).platform_user_id for each in ("b1", "b2", "b3")] == [user.id] * 3
    harness.process(samples.rescheduled("b1", soon(60), later(2), START))
    assert [harness.booking(each).platform_user_id for each in ("b1", "b2")] == [None, user.id]
    acts = sorted((act.kind, act.booking_id or "", act.by, act.reason) for act in harness.all(Intervention))
    assert acts == [("forgotten", each, "jane", "host 4711, left us") for each in ("b1", "b2")]
    with database.read_only() as session:
        assert "booking.forgotten" in [entry.kind for entry in timeline.for_booking(session, "b1")]
        assert "booking.forgotten" in [entry.kind for entry in timeline.latest(session, 100)]


def test_the_sweep_does_not_map_it_again(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness()
    database, now = harness.services.database, datetime.now(UTC)
    harness.add_user(external_id="4711", email="host@example.com")
    harness.process({"webhookType": "new_employee", "id": "u1", "email": "host@example.com"})
    assert find_mapping(database, "4711", now).meetergo_user_id == "u1"
    forget(database, "4711", now, by="jane")
    sweep(harness.services, now)
    assert find_mapping(database, "4711", now).meetergo_user_id is None
    with database.read_only() as session:
        assert session.scalars(select(Employee)).all() == []
    assert [(act.booking_id, act.reason) for act in harness.all(Intervention)] == [(None, "host 4711")]


def test_an_unknown_host_is_an_error_message(open_harness: Callable[..., Harness]) -> None:
    with pytest.raises(OperationError, match="there is no platform user '4711'"):
        forget(open_harness().services.database, "4711", datetime.now(UTC), by="jane")
