"""Render one delivery for people."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from console.render import body, changes, tables
from console.render.tables import Column
from operations import serialize
from operations.text import CONSOLE_COMMAND, moment, printable, short, when

ATTEMPT_COLUMNS = [Column("try"), Column("at (UTC)"), Column("then"), Column("error", wraps=True)]
NOTIFICATION_COLUMNS = [
    Column("id"),
    Column("kind"),
    Column("channel"),
    Column("status"),
    Column("tries"),
    Column("to", wraps=True),
]
INTERVENTION_COLUMNS = [Column("what"), Column("at (UTC)"), Column("by", wraps=True), Column("reason", wraps=True)]


def render(found: serialize.Json, now: datetime) -> Iterator[RenderableType]:
    """Render the details of a delivery."""
    yield Text(f"delivery {found['id']}", style="bold")
    facts = {
        "received": f"{when(found['received_at'], now)}, by {found['source']}, for account {found['account']}",
        "event": printable(found["event"] or "-"),
        "booking": printable(found["booking_id"] or "-"),
        "note": printable(found["note"] or "-"),
    }
    yield tables.fields({"status": tables.status(found["status"]), **outcome_fields(found, now), **facts})
    yield from render_attempts(found)
    for change in found["changes"]:
        yield tables.title(
            f"Booking {printable(change['booking_id'])}: {change['kind']} (revision {change['revision']})"
        )
        yield changes.table(change["before"], change["after"])
    if found["notifications"]:
        yield tables.title("Notifications")
        yield tables.listing(NOTIFICATION_COLUMNS, [_notification_row(row) for row in found["notifications"]])
    yield tables.title("Body")
    yield body.render(found)
    if found["booking_id"]:
        yield Text(f"\nIts booking: {CONSOLE_COMMAND} bookings show {printable(found['booking_id'])}")
    if found["status"] == "dead":
        yield Text(f"What a replay would do: {CONSOLE_COMMAND} replay {short(found['id'])} --dry-run")


def outcome_fields(found: serialize.Json, now: datetime) -> dict[str, str]:
    """Return how a row ended, or when it is retried."""
    return {
        "tries": f"{found['attempts']} failed" if found["attempts"] else "-",
        "next try": when(found["due_at"], now),
        "ended": when(found["ended_at"], now),
        "error": printable(found["last_error"] or "-"),
    }


def render_attempts(found: serialize.Json) -> Iterator[RenderableType]:
    """Render failed attempts and interventions."""
    if found["failed_attempts"]:
        yield tables.title("Failed attempts")
        yield tables.listing(ATTEMPT_COLUMNS, [_attempt_row(row) for row in found["failed_attempts"]])
    if found["interventions"]:
        yield tables.title("Interventions")
        yield tables.listing(INTERVENTION_COLUMNS, [_intervention_row(row) for row in found["interventions"]])


def _attempt_row(row: serialize.Json) -> list[str | Text]:
    return [str(row["number"]), moment(row["at"]), tables.status(row["outcome"]), printable(row["error"])]


def _intervention_row(row: serialize.Json) -> list[str | Text]:
    return [row["kind"].replace("_", " "), moment(row["at"]), printable(row["by"]), printable(row["reason"] or "-")]


def _notification_row(row: serialize.Json) -> list[str | Text]:
    status, attempts = tables.status(row["status"]), str(row["attempts"] or "-")
    return [str(row["id"]), row["kind"], printable(row["channel"]), status, attempts, printable(row["recipient"])]
