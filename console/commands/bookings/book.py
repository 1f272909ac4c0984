"""`book`: book an appointment with a host, as a guest would."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from console.cli.api_client import host_client
from console.cli.arguments import HOST_ARGUMENT
from console.render import tables

if TYPE_CHECKING:
    from meetergo.api import AwaitingConfirmation, Guest, Meetergo

AWAITED_CONFIRMATION = {
    "double_opt_in": "the guest's confirmation, which meetergo requests by mail",
    "host_confirmation": "the host's approval, which expires after 24 hours",
    "unknown": "an approval",
}


class StartTimeParam(click.ParamType[datetime]):
    """A time with its UTC offset, as `slots` prints it."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, context: click.Context | None) -> datetime:
        """Convert to an aware time."""
        try:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            self.fail(
                f"'{value}' is not a time with an offset: write 2026-01-31T12:00+01:00, or Z for UTC", param, context
            )
        return moment


@click.command()
@HOST_ARGUMENT
@click.option("--start", type=StartTimeParam(), required=True, metavar="TIME", help="Start, as printed by `slots`.")
@click.option("--email", required=True, help="The guest's e-mail.")
@click.option("--name", required=True, help="The guest's full name.")
@click.option("--phone", help="The guest's number, with country code.")
@click.option("--timezone", help="The guest's time zone, such as Europe/Berlin.")
@click.option("--language", help="The guest's language, such as en or de.")
@click.option("--meeting-type", metavar="ID", help="The meeting type (default: the host's first).")
@tables.as_json
def book(
    external_id: str,
    start: datetime,
    email: str,
    name: str,
    phone: str | None,
    timezone: str | None,
    language: str | None,
    meeting_type: str | None,
    as_json: bool,
) -> None:
    """Book a time with a host."""
    from meetergo.api import AwaitingConfirmation, Guest
    from operations import hosts

    guest = Guest(email, name, phone, timezone, language)
    with host_client(external_id) as (row, meetergo):
        outcome = _book(meetergo, hosts.meeting_type_id(row, meeting_type), start, guest, hosts.meetergo_id(row))
    if isinstance(outcome, AwaitingConfirmation):
        result = {
            "status": "waiting",
            "waits_for": outcome.kind,
            "provisional_booking_id": outcome.provisional_booking_id,
        }
        message = f"Not booked yet: it awaits {AWAITED_CONFIRMATION[outcome.kind]}."
    else:
        result = {"status": "booked", "booking_id": outcome}
        message = f"Booked: {outcome}"
    tables.print_json(result) if as_json else click.echo(message)


def _book(
    meetergo: Meetergo, meeting_type_id: str, start: datetime, guest: Guest, host_id: str
) -> str | AwaitingConfirmation:
    """Return only the booking's id: its secret would let anyone cancel it."""
    from meetergo.api import Booked
    from meetergo.api.errors import ApiError, OutcomeUnknown

    try:
        outcome = meetergo.bookings.create(meeting_type_id, start, guest, host_ids=[host_id])
    except OutcomeUnknown as unclear:
        try:
            found = _find(meetergo, host_id, meeting_type_id, start, guest.email)
        except ApiError:
            raise unclear from None  # the advice to look it up matters, not why the lookup failed
        if not found:
            raise
        return found
    return outcome.appointment_id if isinstance(outcome, Booked) else outcome


def _find(meetergo: Meetergo, host_id: str, meeting_type_id: str, start: datetime, email: str) -> str | None:
    """Find the appointment that a request with unknown outcome may have made. A personal token reads as an admin."""
    can_impersonate = meetergo.can_impersonate
    client, of_user = (meetergo.as_user(host_id), None) if can_impersonate else (meetergo, host_id)
    end = start + timedelta(minutes=1)
    for appointment in client.appointments.list(start=start, end=end, meeting_type_id=meeting_type_id, of_user=of_user):
        emails = {(attendee.email or "").casefold() for attendee in appointment.attendees or ()}
        if appointment.start == start and email.casefold() in emails and not appointment.is_cancelled:
            return appointment.id
    return None
