"""The bodies of the benchmarks have the promised effects; else two sides would not do the same work."""

from datetime import UTC, datetime

from benchmarks.bodies import CIPHER, moved_bookings
from benchmarks.growth.fill import booking_id, fill, host_id, put_back
from benchmarks.service import insert_deliveries, open_reader
from models.booking import BookingChange
from runtime.database import Database
from runtime.encryption import BodyCipher
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import Harness

__all__ = ["harness", "open_harness"]

ROWS, TIMES = 5, 4


def test_each_move_changes_its_booking_and_keeps_its_host(
    database: Database, database_url: str, harness: Harness
) -> None:
    fill(database, ROWS, datetime.now(UTC))
    known = [(booking_id(number), host_id(number)) for number in range(ROWS)] * TIMES
    insert_deliveries(database_url, moved_bookings(known, "moves"), BodyCipher([]))
    harness.process_due()
    made = harness.changes()[ROWS:]
    assert [change.kind for change in made] == ["rescheduled"] * ROWS * TIMES
    assert {name for change in made for name in change.after} == {"starts_at", "ends_at", "as_of"}


def test_every_run_of_moves_has_different_bodies() -> None:
    known = [(booking_id(0), host_id(0))] * 2
    assert len({*moved_bookings(known, "one"), *moved_bookings(known, "two")}) == 4


def test_all_prefilled_rows_are_done(database: Database, harness: Harness) -> None:
    fill(database, ROWS, datetime.now(UTC))
    kinds = [change.kind for change in harness.all(BookingChange)]
    assert kinds == ["created", "rescheduled", "created", "rescheduled", "created"], "of both sizes, in turn"
    assert not harness.services.inbox.process_due()


def test_few_rows_are_put_back_while_others_are_connected(database: Database, database_url: str) -> None:
    fill(database, ROWS, datetime.now(UTC), CIPHER)
    insert_deliveries(database_url, moved_bookings([(booking_id(0), host_id(0))], "moves"))
    with open_reader(database_url) as reader:
        put_back(database, ROWS, datetime.now(UTC), CIPHER)
        assert reader.number("SELECT count(*) FROM deliveries") == ROWS
        assert reader.number("SELECT count(*) FROM bookings JOIN platform_users u ON u.id = platform_user_id") == ROWS
