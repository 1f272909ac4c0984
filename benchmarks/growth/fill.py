"""Fill: bulk-write a database that looks as after a month of use; each row is as our own code makes it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import islice
from typing import Any

from benchmarks.bodies import SMALLEST
from devtools.send import mix, samples
from meetergo import events
from models.booking import Booking
from runtime.database import Database, schema_of
from runtime.encryption import BodyCipher

RUN = "filled"
MONTH = timedelta(days=30)
AGE = timedelta(days=2)
"""Age of the newest row, so that `prune` can be configured to keep none."""
USERS = 2_000
CHUNK_SIZE = 5_000
SIZE_VARIATION = 900
"""Maximum number of bytes by which bodies differ in size."""
METADATA_VARIATION = 300
"""The same for bookings and their first changes."""
NO_METADATA = '"metadata": {}'
CHANNEL = "log"
PLACEHOLDER_ID = "(the booking)"
FAST = ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-1000000")
"""Settings of SQLite for a file that nobody else has open."""

Row = Mapping[str, Any]
"""Column -> text, bytes, integer or None."""


def fill(database: Database, count: int, now: datetime, cipher: BodyCipher | None = None) -> None:
    """Write N processed deliveries, with a booking, a change and a notification each, and users.

    What the planner knows of the tables is brought up to date, and everything is on disk, when it returns. With a
    cipher, bodies are encrypted; they repeat then, as nothing reads them again.
    """
    write = _copy if database.supports_skip_locked else _insert_fast
    write(database, "platform_users", map(_user, range(USERS)))
    for table, row in _rows(now, count, cipher).items():
        write(database, table, map(row, range(count)))
    analyze_and_flush(database)


def put_back(database: Database, count: int, now: datetime, cipher: BodyCipher | None = None) -> None:
    """Replace everything but the users by N rows, while other processes are connected; without a checkpoint.

    Locks of other processes that are held for long would make it fail.
    """
    tables = _rows(now, count, cipher)
    with database.engine.begin() as connection:
        if database.supports_skip_locked:
            names = ", ".join(f"{schema_of(connection)}.{table}" for table in tables)
            connection.exec_driver_sql(f"TRUNCATE {names} CASCADE")
        else:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
            for table in tables:
                connection.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608 - names of ours
    for table, row in tables.items():
        (_copy if database.supports_skip_locked else _insert)(database, table, map(row, range(count)))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _rows(now: datetime, count: int, cipher: BodyCipher | None) -> dict[str, Callable[[int], Row]]:
    """Return table -> the row with a number."""
    template = _Template(now, count, cipher or BodyCipher([]))
    return {
        "deliveries": template.delivery,
        "bookings": template.booking,
        "booking_changes": template.change,
        "notifications": template.notification,
    }


def analyze_and_flush(database: Database) -> None:
    """Update the planner's statistics, and write everything to disk."""
    postgresql = ("VACUUM (ANALYZE)", "CHECKPOINT")
    sqlite = ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)")
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw = connection.connection.dbapi_connection
        for statement in postgresql if database.supports_skip_locked else sqlite:
            raw.execute(statement)  # type: ignore[union-attr] # both drivers have it


def booking_id(number: int) -> str:
    """The id of a filled booking."""
    return mix.booking_id(RUN, number)


def host_id(number: int) -> str:
    """The id of that booking's host; the first one hosts the samples."""
    number %= USERS
    return f"{samples.HOST_ID}-{number}" if number else samples.HOST_ID


class _Template:
    """A booking made by our own code, from which all rows are copied with their own ids and times."""

    def __init__(self, now: datetime, count: int, cipher: BodyCipher) -> None:
        self._first, self._step = now - AGE - MONTH, MONTH / count
        created, start = self._first - timedelta(days=1), now + timedelta(days=30)
        moved, hour = created + timedelta(minutes=5), timedelta(hours=1)
        self._body = json.dumps(samples.created(PLACEHOLDER_ID, start, created))
        self._filling = max(0, SMALLEST - len(self._body))
        booking = Booking(id=PLACEHOLDER_ID, facts={}, attendees=[], host_ids=[], metadata_={}, version="", revision=0)
        booking.status, booking.as_of = "confirmed", created
        self._created, self._booking = _change(booking, self._body, created), _columns(booking)
        seen = {"id": PLACEHOLDER_ID, **booking.public_columns(), "revision": 1}
        self._payload = json.dumps({"booking": seen, "before": None, "host": None})
        move = json.dumps(samples.rescheduled(PLACEHOLDER_ID, start + hour, moved, start))
        self._moved, self._moved_booking = _change(booking, move, moved), _columns(booking)
        self._cipher, self._encrypted = cipher, dict[int, bytes]()

    def delivery(self, number: int) -> Row:
        at = self._at(number)
        return {
            "id": _digest(number),
            "status": "done",
            "attempts": 0,
            "due_at": at,
            "ended_at": at,
            "received_at": at,
            "account": "default",
            "source": "webhook",
            "event": "booking_created",
            "booking_id": booking_id(number),
            **self._stored_body(number),
        }

    def _stored_body(self, number: int) -> Row:
        more = number * 37 % SIZE_VARIATION
        body = self._body[:-1] + f', "formAnswers": "{"x" * (self._filling + more)}"}}'
        if self._cipher.newest_key is None:
            return {"body": body.replace(PLACEHOLDER_ID, booking_id(number))}
        if more not in self._encrypted:
            self._encrypted[more] = self._cipher.encrypt(body.encode()).content
        return {"body": self._encrypted[more], "sealed_with": self._cipher.newest_key}

    def booking(self, number: int) -> Row:
        """Every second booking has been moved."""
        at, columns = self._at(number), self._booking if number % 2 else self._moved_booking
        facts = f'{columns["facts"][:-1]}, "metadata": ["", {_metadata(number)}]}}'
        return {
            **{name: str(value).replace(samples.HOST_ID, host_id(number)) for name, value in columns.items()},
            "facts": facts.replace(samples.HOST_ID, host_id(number)),
            "id": booking_id(number),
            "platform_user_id": 1 + number % USERS,
            "metadata": _metadata(number),
            "starts_at": at,
            "ends_at": at,
            "as_of": at,
            "created_at": at,
            "updated_at": at,
        }

    def change(self, number: int) -> Row:
        """Every second change is the move of the booking before."""
        moved = number % 2
        columns = self._moved if moved else self._created
        return {
            **columns,
            "after": columns["after"].replace(NO_METADATA, f'"metadata": {_metadata(number)}'),
            "booking_id": booking_id(number - moved),
            "delivery_id": _digest(number),
            "at": self._at(number),
        }

    def notification(self, number: int) -> Row:
        at = self._at(number)
        return {
            "status": "done",
            "attempts": 0,
            "due_at": at,
            "ended_at": at,
            "created_at": at,
            "key": _digest(-1 - number),
            "booking_id": booking_id(number),
            "platform_user_id": 1 + number % USERS,
            "delivery_id": _digest(number),
            "kind": "created",
            "channel": CHANNEL,
            "recipient": CHANNEL,
            "fingerprint": sha256(f"{CHANNEL}:".encode()).hexdigest(),
            "payload": self._payload.replace(PLACEHOLDER_ID, booking_id(number)),
        }

    def _at(self, number: int) -> str:
        """Format a time as SQLite stores it; PostgreSQL reads it in UTC."""
        return (self._first + number * self._step).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _change(booking: Booking, body: str, at: datetime) -> Row:
    """Apply a body to the booking; return the columns of the change."""
    event = events.read(body.encode(), at)
    assert isinstance(event, events.BookingEvent)  # noqa: S101 - tells mypy
    change = booking.apply(event, lambda _hosts, _kind: None, at)
    assert change is not None  # noqa: S101 - as above
    return {
        "revision": change.revision,
        "kind": change.kind,
        "before": change.before and json.dumps(change.before),
        "after": json.dumps(change.after),
        "news": json.dumps(change.notification_kinds),
    }


def _columns(booking: Booking) -> Row:
    """Return the columns of a booking that do not depend on its number."""
    names = ("status", "meeting_type_id", "meeting_name", "meeting_link", "version", "revision")
    lists = ("attendees", "host_ids", "facts")
    return {
        **{name: getattr(booking, name) for name in names},
        **{name: json.dumps(getattr(booking, name)) for name in lists},
    }


def _metadata(number: int) -> str:
    return json.dumps({"note": "x" * (number * 37 % METADATA_VARIATION)})


def _user(number: int) -> Row:
    """A user whose bookings are linked; otherwise the scheduler would do so during the measurement."""
    return {
        "external_id": str(number),
        "meetergo_user_id": host_id(number),
        "meetergo_meeting_type_id": f"type-{number}",
        "linked_as": f"{host_id(number)}/type-{number}",
        "email": f"host-{number}@example.com",
    }


def _digest(number: int) -> str:
    return sha256(f"{RUN} {number}".encode()).hexdigest()


def _copy(database: Database, table: str, rows: Iterator[Row]) -> None:
    """Insert all rows at once, without checking foreign keys.

    COPY alone would leave room for a small row on half of the pages, and rows of one size on all. INSERTs of different
    sizes use it, as our own do. Otherwise each small row of the measurement would be put on another old page, and cost
    that whole page in the log: after a VACUUM, PostgreSQL knows where there is room.
    """
    first = next(rows)
    with database.engine.begin() as connection:
        cursor: Any = connection.connection.cursor()
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL TIME ZONE 'UTC'")
        columns, target = ", ".join(first), f"{schema_of(connection)}.{table}"
        as_select = f"AS SELECT {columns} FROM {target} LIMIT 0"  # noqa: S608 - names of ours
        cursor.execute(f"CREATE TEMP TABLE filling ON COMMIT DROP {as_select}")
        with cursor.copy(f"COPY filling ({columns}) FROM STDIN") as copy:
            for batch_rows in _batches(first, rows):
                copy.write("".join("\t".join(map(_in_copy, row.values())) + "\n" for row in batch_rows))
        cursor.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM filling")  # noqa: S608 - names of ours


def _in_copy(value: Any) -> str:
    """Escape backslashes twice: for JSON, or the hexadecimal form of bytes, and for COPY."""
    if value is None:
        return r"\N"
    if isinstance(value, bytes):
        return rf"\\x{value.hex()}"
    text = str(value)
    return text.replace("\\", "\\\\") if text.startswith(("{", "[")) else text


def _insert_fast(database: Database, table: str, rows: Iterator[Row]) -> None:
    """Write the file without durability, and restore it afterwards."""
    _insert(database, table, rows, FAST)


def _insert(
    database: Database, table: str, rows: Iterator[Row], pragmas: Sequence[str] = ("foreign_keys=OFF",)
) -> None:
    first = next(rows)
    places = ", ".join("CAST(? AS BLOB)" if name == "body" else "?" for name in first)
    raw: Any = database.engine.raw_connection()
    try:
        for pragma in pragmas:
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("BEGIN")
        insert = f"INSERT INTO {table} ({', '.join(first)}) VALUES ({places})"  # noqa: S608 - names of ours
        for batch_rows in _batches(first, rows):
            raw.executemany(insert, [tuple(row.values()) for row in batch_rows])
        raw.execute("COMMIT")
        raw.execute("PRAGMA journal_mode=WAL")
        raw.invalidate()  # later connections have the usual settings
    finally:
        raw.close()


def _batches(first: Row, rest: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rest)
    batch = [first]
    while batch:
        yield batch
        batch = list(islice(rows, CHUNK_SIZE))
