"""The tables and views that a platform reads and writes: types from the models, meanings from here."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Boolean, Dialect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

from devtools.contract.events import event_schema
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from runtime.database import Model, table_of

DIALECTS: tuple[Dialect, ...] = (postgresql.dialect(), sqlite.dialect())  # type: ignore[no-untyped-call]
SHORT_NAMES = {"TIMESTAMP WITH TIME ZONE": "timestamptz"}


@dataclass(frozen=True)
class ContractColumn:
    """A column of the contract.

    Attributes:
        name: its name.
        type: its SQLAlchemy type.
        nullable: whether it may be null.
        meaning: its description in the documentation.
    """

    name: str
    type: TypeEngine[Any]
    nullable: bool
    meaning: str

    def type_on(self, dialect: Dialect) -> str:
        """Return the column's type in a database's dialect."""
        name = self.type.compile(dialect)
        return SHORT_NAMES.get(name, name.lower())


def _of(model: type[Model], **meanings: str) -> list[ContractColumn]:
    columns = table_of(model).c
    return [
        ContractColumn(name, columns[name].type, bool(columns[name].nullable), meaning)
        for name, meaning in meanings.items()
    ]


_booking = _of(
    Booking,
    id="the key: meetergo's id of the booking; in an account beside `default`, `<account>:<id>`",
    revision="rises by one with each change of the row",
    status="`confirmed` or `cancelled`",
    platform_user_id="the owner's `platform_users.id`; null while no host is mapped",
    starts_at="null while unknown",
    ends_at="null while unknown",
    meeting_type_id="meetergo's id of the meeting type",
    meeting_name="in the owner's language, if meetergo gives several",
    meeting_link="the address of the video call; null if there is none",
    location="the place, a phone number, or JSON if meetergo sends an object",
    attendees="list of [attendees](#json-values)",
    host_ids="list of meetergo's ids of all hosts, sorted: the owner and the co-hosts",
    metadata="object that was given to meetergo when it was booked; `{}` if none",
    cancel_reason="what meetergo gives; `moved to` and an `id` of this view if another booking replaced it",
    cancelled_by="what meetergo gives",
    as_of="the time of the newest webhook that the row reflects",
    created_at="when the row was made",
    updated_at="when the row last changed",
    account="the account of meetergo: `default`, or one of `bin/inbox accounts list`",
)
_user = _of(
    PlatformUser,
    id="made by the database; the key",
    external_id="**your** id of the host, as text; unique",
    account="the account of meetergo in which the host is found; default `default`",
    meetergo_user_id="meetergo's id of the host; unique in the account. null until you or `new_employee` fill it in",
    meetergo_meeting_type_id="a meeting type of this host alone: also makes the host the owner of its bookings",
    booking_url="where guests book; yours to keep here",
    email="where `mailto:` sends, and what `new_employee` is matched by",
    name="how mails address the host",
    timezone="IANA; default `Europe/Berlin`",
    language="`en` or `de`, with a region if it is not the time zone's: `en-GB`; default `en`",
    channels="list of channel URLs; null for NOTIFY_DEFAULT, `[]` for none",
)
_change = _of(
    BookingChange,
    id="rises; the key",
    booking_id="",
    revision="the booking's revision after this change: 1, 2, 3 ...",
    kind="`created`, `rescheduled`, `cancelled`, `attendee_left`, `updated`, `linked` (only the owner changed) or "
    "`erased` (a guest was, also from the changes before)",
    before="object of the columns of `bookings` that changed, before; null for the first change",
    after="the same columns after; times are ISO 8601",
    news="list of the kinds of notification that the change causes",
    delivery_id="the delivery that caused it, which may be pruned earlier; null if none did",
    at="when",
    account="as in `bookings_v1`",
)
_booking_by_name = {column.name: column for column in _booking}
_user_by_name = {column.name: column for column in _user}
_external_id = replace(_user_by_name["external_id"], nullable=True, meaning="the owner's `platform_users.external_id`")
_booking_view = [*_booking[:4], _external_id, *_booking[4:]]

CONTRACT: dict[str, tuple[str, list[ContractColumn]]] = {
    "bookings_v1": ("view, to read: one row per booking", _booking_view),
    "booking_hosts_v1": (
        "view, to read: one row per host of a booking, co-hosts included",
        [
            replace(_booking_by_name["id"], name="booking_id", meaning="`bookings_v1.id`"),
            replace(
                _user_by_name["meetergo_user_id"],
                meaning="meetergo's id of the host; null for an owner known by meeting type alone",
            ),
            replace(
                _user_by_name["id"], name="platform_user_id", nullable=True, meaning="null while the host is not mapped"
            ),
            replace(_user_by_name["external_id"], nullable=True, meaning="your id of the host; null as above"),
            ContractColumn("is_owner", Boolean(), False, "whether this host owns the booking"),
            replace(_booking_by_name["account"], meaning="`bookings_v1.account`"),
        ],
    ),
    "booking_changes_v1": (
        "view, to read: one row per change of a booking",
        [replace(column, name="notification_kinds") if column.name == "news" else column for column in _change],
    ),
    "platform_users": ("table, yours to write: one row per host", _user),
    "notifications": (
        "table, to read: who was notified of what",
        _of(
            Notification,
            id="rises; the key",
            key="identifies the notification; `msg_` and its first 32 characters are the `webhook-id`",
            booking_id="",
            account="as in `bookings_v1`",
            platform_user_id="the host; null for a shared place",
            kind="see [Who is notified of what](#who-is-notified-of-what)",
            channel="kind of channel, such as `mailto` or `https`",
            recipient="an address or a host name; never a secret",
            status="`pending`, `done` or `dead`",
            attempts="failed attempts since it was created or replayed",
            due_at="when it is tried next, while `pending`",
            ended_at="when it became `done` or `dead`",
            last_error="why it failed or was not sent",
            payload="what is sent: `booking`, `before` and `host`, as in the signed POST",
            created_at="when the change happened",
        ),
    ),
    "deliveries": (
        "table, to read: the webhooks",
        _of(
            Delivery,
            id="SHA-256 of the body (in an account beside `default`, of its name, a zero byte and the body); the key",
            status="`pending`, `done` or `dead`",
            event="meetergo's name of the event; null until it is parsed",
            booking_id="null until it is parsed, or if it is about no booking",
            received_at="",
            attempts="failed attempts since it was received or replayed",
            due_at="when it is tried next, while `pending`",
            ended_at="when it became `done` or `dead`",
            last_error="why it failed",
            note="why it had no effect although it is `done`",
            source="`webhook` or `reconcile`",
            account="the account that the address named",
            body="encrypted, if BODY_KEYS is set",
        ),
    ),
    "reconciliations": (
        "table, to read: the comparisons with meetergo",
        _of(
            Reconciliation,
            id="rises; the key",
            account="the account that was compared",
            started_at="",
            ended_at="null while it runs, or if it was killed",
            hosts="read from meetergo",
            appointments="read from meetergo",
            missed="bookings that no webhook had reported",
            changed="bookings that were corrected",
            cancelled="bookings that were cancelled",
            revived="bookings that were cancelled here and are valid at meetergo",
            unknown="bookings that meetergo does not know",
            error="what could not be read",
        ),
    ),
}
"""Name -> its description and its columns."""


def render_tables() -> str:
    """Return the Markdown of all tables."""
    return "\n\n".join(_render(name, what, columns) for name, (what, columns) in CONTRACT.items())


def render_shapes() -> str:
    """Return the Markdown of an attendee's fields."""
    properties = event_schema()["$defs"]["Attendee"]["properties"]
    rows = (f"| `{name}` | {schema['type']} | {schema.get('description', '')} |" for name, schema in properties.items())
    return "\n".join(["| attendee | type | meaning |", "|---|---|---|", *rows])


def _render(name: str, what: str, columns: list[ContractColumn]) -> str:
    head = ["| column | PostgreSQL | SQLite | null | meaning |", "|---|---|---|---|---|"]
    rows = (
        f"| `{column.name}` | {' | '.join(column.type_on(each) for each in DIALECTS)} |"
        f" {'yes' if column.nullable else 'no'} | {column.meaning} |"
        for column in columns
    )
    return "\n".join([f"### {name}", "", f"{what[0].upper()}{what[1:]}.", "", *head, *rows])
