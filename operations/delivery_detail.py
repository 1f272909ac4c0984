"""The dossier of one delivery: all that is known of it, as JSON and as a sheet."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from console.render import body, changes, tables
from console.render.tables import Column
from console.render.text import CONSOLE, age, moment, printable, short
from models.attempt import FailedAttempt
from models.booking import BookingChange
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from operations import serialize
from runtime.encryption import BodyCipher

ATTEMPTS = [Column("try"), Column("at (UTC)"), Column("then"), Column("error", folds=True)]
NEWS = [Column("id"), Column("news"), Column("channel"), Column("status"), Column("tries"), Column("to", folds=True)]
ACTS = [Column("what"), Column("at (UTC)"), Column("by", folds=True), Column("reason", folds=True)]


def gather(session: Session, delivery: Delivery, vault: BodyCipher) -> serialize.Json:
    """All that is known of a delivery."""
    return {
        **serialize.of_delivery(delivery),
        **body.read(delivery, vault),
        **efforts(session, FailedAttempt.delivery_id == delivery.id, Intervention.delivery_id == delivery.id),
        "changes": _all(session, BookingChange, serialize.of_change, BookingChange.caused_by(delivery)),
        "notifications": _all(session, Notification, serialize.of_notification, Notification.caused_by(delivery)),
    }


def efforts(session: Session, tried: ColumnElement[bool], intervened: ColumnElement[bool]) -> serialize.Json:
    """What was tried in vain, and what a person did."""
    return {
        "failed_attempts": _all(session, FailedAttempt, serialize.of_attempt, tried),
        "interventions": _all(session, Intervention, serialize.of_intervention, intervened),
    }


def sheet(found: serialize.Json, now: datetime) -> Iterator[RenderableType]:
    """The dossier for people."""
    yield Text(f"delivery {found['id']}", style="bold")
    came = f"{moment(found['received_at'])} ({age(found['received_at'], now)})"
    facts = {
        "received": f"{came}, by {found['source']}, for account {found['account']}",
        "event": printable(found["event"] or "-"),
        "booking": printable(found["booking_id"] or "-"),
        "note": printable(found["note"] or "-"),
    }
    yield tables.fields({"status": tables.status(found["status"]), **ending(found, now), **facts})
    yield from effort_sheet(found)
    for change in found["changes"]:
        yield tables.title(
            f"Booking {printable(change['booking_id'])}: {change['kind']} (revision {change['revision']})"
        )
        yield changes.table(change["before"], change["after"])
    if found["notifications"]:
        yield tables.title("Notifications that followed")
        yield tables.listing(NEWS, [_news(row) for row in found["notifications"]])
    yield tables.title("Body")
    yield body.sheet(found)
    if found["booking_id"]:
        yield Text(f"\nIts booking: {CONSOLE} bookings show {printable(found['booking_id'])}")
    if found["status"] == "dead":
        yield Text(f"What a replay would do: {CONSOLE} replay {short(found['id'])} --dry-run")


def ending(found: serialize.Json, now: datetime) -> dict[str, str]:
    """How a row ended, or when it is tried next."""
    return {
        "tries": f"{found['attempts']} failed" if found["attempts"] else "-",
        "next try": f"{moment(found['due_at'])} ({age(found['due_at'], now)})" if found["due_at"] else "-",
        "ended": f"{moment(found['ended_at'])} ({age(found['ended_at'], now)})" if found["ended_at"] else "-",
        "error": printable(found["last_error"] or "-"),
    }


def effort_sheet(found: serialize.Json) -> Iterator[RenderableType]:
    """What was tried in vain, and what a person did, for people."""
    if found["failed_attempts"]:
        yield tables.title("Failed tries")
        yield tables.listing(ATTEMPTS, [_attempt(row) for row in found["failed_attempts"]])
    if found["interventions"]:
        yield tables.title("What a person did")
        yield tables.listing(ACTS, [_act(row) for row in found["interventions"]])


def _attempt(row: serialize.Json) -> list[str | Text]:
    return [str(row["number"]), moment(row["at"]), tables.status(row["outcome"]), printable(row["error"])]


def _act(row: serialize.Json) -> list[str | Text]:
    return [row["kind"].replace("_", " "), moment(row["at"]), printable(row["by"]), printable(row["reason"] or "-")]


def _news(row: serialize.Json) -> list[str | Text]:
    status, tries = tables.status(row["status"]), str(row["attempts"] or "-")
    return [str(row["id"]), row["kind"], printable(row["channel"]), status, tries, printable(row["recipient"])]


def _all(session: Session, kind: Any, as_row: Any, which: ColumnElement[bool]) -> list[serialize.Json]:
    return [as_row(row) for row in session.scalars(select(kind).where(which).order_by(kind.id))]
