"""Bulk statements: many rows at once, in the transaction of a session whose own flush would write one by one."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange
from runtime.bulk import insert_all, insert_missing, modified, unflushed, update_all
from runtime.database import Database

NOW = datetime(2024, 1, 15, 8, tzinfo=UTC)
LATER = datetime(2024, 1, 16, 8, tzinfo=UTC)


@pytest.fixture
def bookings(database: Database) -> list[str]:
    with database.transaction() as session:
        return sorted(Booking.get_for_update(session, ["a", "b", "c"], NOW))


def stored_rows(database: Database) -> dict[str, tuple[str | None, int]]:
    with database.read_only() as session:
        return {row.id: (row.location, row.revision) for row in session.scalars(select(Booking))}


def load_all(session: Session) -> list[Booking]:
    return list(session.scalars(select(Booking).order_by(Booking.id)))


@pytest.mark.usefixtures("bookings")
def test_an_unflushed_session_writes_nothing_by_itself_and_leaves_the_transaction_to_its_owner(
    database: Database,
) -> None:
    with database.transaction() as session:
        with session.begin_nested(), unflushed(session) as page:
            for row in load_all(page):
                row.location = "never written"
            assert load_all(page)[0].location == "never written"
        assert session.in_transaction()
        session.get_one(Booking, "c").location = "written after"
    assert stored_rows(database) == {"a": (None, 0), "b": (None, 0), "c": ("written after", 0)}


@pytest.mark.usefixtures("bookings")
def test_a_savepoint_takes_back_only_what_its_unflushed_session_wrote(database: Database) -> None:
    class Broken(Exception):
        pass

    def write_and_raise(session: Session) -> None:
        with session.begin_nested(), unflushed(session) as page:
            row = page.get_one(Booking, "b")
            row.location = "taken back"
            update_all(page, [row])
            raise Broken

    with database.transaction() as session:
        session.get_one(Booking, "a").location = "stays"
        with pytest.raises(Broken):
            write_and_raise(session)
    assert stored_rows(database) == {"a": ("stays", 0), "b": (None, 0), "c": (None, 0)}


@pytest.mark.usefixtures("bookings")
def test_only_changed_rows_are_modified(database: Database) -> None:
    with database.transaction() as session, unflushed(session) as page:
        first, second, _ = load_all(page)
        first.facts = {"hidden": ["1", True]}
        second.location = second.location
        assert modified(page, Booking) == [first]
        assert modified(page, BookingChange) == []


@pytest.mark.usefixtures("bookings")
def test_all_rows_are_updated_by_one_statement_in_the_columns_that_are_named(database: Database) -> None:
    statements = []
    with database.transaction() as session, unflushed(session) as page:
        rows = load_all(page)
        for row in rows:
            row.location, row.revision = f"at {row.id}", 7
        event.listen(database.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        update_all(page, rows, "location")
    assert len(statements) == 1
    assert stored_rows(database) == {name: (f"at {name}", 0) for name in "abc"}


@pytest.mark.usefixtures("bookings")
def test_without_column_names_all_are_updated_even_if_the_attribute_is_named_differently(database: Database) -> None:
    with database.transaction() as session, unflushed(session) as page:
        row = page.get_one(Booking, "a")
        row.metadata_, row.updated_at, row.attendees = {"ticket": "1"}, LATER, [{"id": "x"}]
        update_all(page, [row])
    with database.read_only() as session:
        row = session.get_one(Booking, "a")
        assert (row.metadata_, row.updated_at, row.attendees) == ({"ticket": "1"}, LATER, [{"id": "x"}])


@pytest.mark.usefixtures("bookings")
def test_new_rows_are_inserted_with_ids_that_the_database_gives(database: Database) -> None:
    columns = dict(
        booking_id="a",
        account="default",
        kind="updated",
        before={},
        after={"location": "x"},
        notification_kinds=[],
        at=NOW,
    )
    with database.transaction() as session:
        insert_all(session, [BookingChange(**columns, revision=number) for number in (1, 2)])
        insert_all(session, [])
        update_all(session, [])
    with database.read_only() as session:
        rows = session.scalars(select(BookingChange).order_by(BookingChange.id)).all()
        assert [(row.revision, row.after) for row in rows] == [(1, {"location": "x"}), (2, {"location": "x"})]
        assert len({row.id for row in rows}) == 2


TRICKY = "Zoë \\u0000 :rows %(rows)s ' \" \\ {a,b} \U0001f600 \n"


@pytest.mark.usefixtures("bookings")
def test_any_value_is_stored_unchanged(database: Database) -> None:
    value = {TRICKY: [TRICKY, None, 1, 1.5, True, {"nested": [None]}]}
    with database.transaction() as session, unflushed(session) as page:
        row = page.get_one(Booking, "a")
        row.location, row.metadata_, row.facts, row.starts_at, row.cancel_reason = TRICKY, value, value, LATER, ""
        update_all(page, [row])
        insert_all(
            page,
            [
                BookingChange(
                    booking_id="a",
                    account="default",
                    revision=1,
                    kind="updated",
                    after=value,
                    notification_kinds=[],
                    at=LATER,
                )
            ],
        )
    with database.read_only() as session:
        row = session.get_one(Booking, "a")
        change = session.scalars(select(BookingChange)).one()
        assert (row.location, row.metadata_, row.facts, row.starts_at, row.cancel_reason, row.ends_at) == (
            *(TRICKY, value, value, LATER, ""),
            None,
        )
        assert (change.before, change.after, change.delivery_id, change.at) == (None, value, None, LATER)
        assert session.scalars(select(BookingChange).where(BookingChange.before.is_(None))).all() == [change]


@pytest.mark.usefixtures("bookings")
def test_rows_with_an_existing_key_are_left_alone(database: Database) -> None:
    blank = dict(status="confirmed", attendees=[], host_ids=[], metadata={}, facts={}, version="")
    times = dict(as_of=NOW, created_at=NOW, updated_at=NOW, revision=0, location="new")
    rows = [dict(id=name, **blank, **times) for name in ("a", "d", "e")]
    with database.transaction() as session:
        assert insert_missing(session, Booking, rows, "id") == 2
        assert insert_missing(session, Booking, [], "id") == 0
    assert stored_rows(database) == {"a": (None, 0), "b": (None, 0), "c": (None, 0), "d": ("new", 0), "e": ("new", 0)}


@pytest.mark.usefixtures("bookings")
def test_values_of_a_booking_survive_exactly(database: Database) -> None:
    metadata = {"text": 'ä "\\ \u2028 😀', "numbers": [10**40, -1, 0.1, 1e-300, True, None], "nested": {"": []}}
    at = datetime(2, 1, 1, 0, 0, 0, 123456, UTC)
    with database.transaction() as session, unflushed(session) as page:
        for row in load_all(page):
            row.metadata_, row.starts_at, row.location = metadata, at, None
        update_all(page, load_all(page))
    with database.read_only() as session:
        assert [(row.metadata_, row.starts_at, row.location) for row in load_all(session)] == [(metadata, at, None)] * 3
