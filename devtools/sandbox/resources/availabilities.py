"""Availabilities: a host's named weekly schedules."""

from devtools.sandbox.http.errors import ApiRejection, forbidden, not_found
from devtools.sandbox.http.schemas import Input, Name, Zone
from devtools.sandbox.resources.schedules import CLOSED, OFFICE_HOURS, Schedule
from devtools.sandbox.state.company import Company, Record


class NewAvailability(Input):
    """The availability that comes with a new user."""

    name: Name = "Default"
    timezone: Zone | None = None
    schedule: Schedule | None = None


class AvailabilityChange(Input):
    """The body of `PATCH /v4/availability/{id}`. It replaces the schedule; whether meetergo merges is unknown."""

    name: Name | None = None
    schedule: Schedule | None = None


def create(company: Company, user_id: str, zone: str, wanted: NewAvailability | None) -> Record:
    """Create a host's first availability: office hours, unless one was given, whose days are off without a schedule."""
    schedule = wanted.schedule or CLOSED if wanted else OFFICE_HOURS
    wanted = wanted or NewAvailability()
    record: Record = {
        "id": company.new_id("availability", user_id),
        "userId": user_id,
        "name": wanted.name,
        "timezone": wanted.timezone or zone,
        "schedule": schedule,
    }
    company.availabilities[record["id"]] = record
    return record


def find(company: Company, availability_id: str, user_id: str) -> Record:
    """Return an availability that a user may see.

    Raises:
        ApiRejection: it does not exist, or belongs to another user.
    """
    record = company.availabilities.get(availability_id)
    if not record:
        raise not_found("Availability")
    if user_id not in (record["userId"], company.admin_id):
        raise forbidden()
    return record


def change(record: Record, wanted: AvailabilityChange) -> None:
    """Apply the request's changes."""
    values = wanted.given_fields()
    if not values:
        raise ApiRejection(400, ["name or schedule should not be empty"])
    record.update(values)


def to_json(record: Record) -> Record:
    """Return it as the API shows it."""
    return {name: record[name] for name in ("id", "name", "timezone", "schedule")}


def default_of(company: Company, user_id: str) -> Record:
    """Return the availability that applies where a meeting type names none."""
    return next(record for record in company.availabilities.values() if record["userId"] == user_id)
