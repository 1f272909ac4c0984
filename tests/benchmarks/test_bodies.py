"""The bodies of the benchmarks: what they are said to do, they do, or two sides would not be given the same work."""

from datetime import UTC, datetime

from benchmarks.bodies import moved_bookings
from benchmarks.growth.fill import booking_id, fill, host_id
from benchmarks.service import put
from models.booking import BookingChange
from runtime.database import Database
from tests.worker.conftest import desk, open_desk
from tests.worker.desk import Desk

__all__ = ["desk", "open_desk"]

ROWS, TIMES = 5, 4


def test_each_move_changes_its_booking_and_keeps_its_host(database: Database, database_url: str, desk: Desk) -> None:
    fill(database, ROWS, datetime.now(UTC))
    known = [(booking_id(number), host_id(number)) for number in range(ROWS)] * TIMES
    put(database_url, moved_bookings(known, "moves"))
    desk.work_off()
    made = desk.changes()[ROWS:]
    assert [change.kind for change in made] == ["rescheduled"] * ROWS * TIMES
    assert {name for change in made for name in change.after} == {"starts_at", "ends_at", "as_of"}


def test_every_run_of_moves_has_bodies_of_its_own() -> None:
    known = [(booking_id(0), host_id(0))] * 2
    assert len({*moved_bookings(known, "one"), *moved_bookings(known, "two")}) == 4


def test_all_that_was_filled_in_is_done(database: Database, desk: Desk) -> None:
    fill(database, ROWS, datetime.now(UTC))
    assert len(desk.all(BookingChange)) == ROWS
    assert not desk.office.inbox.work_off()
