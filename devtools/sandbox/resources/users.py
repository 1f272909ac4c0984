"""Users: the company's hosts. A new one has hours and a first meeting type."""

from typing import Annotated

from pydantic import Field

from devtools.sandbox.http.errors import ApiRejection, not_found, plan_limit
from devtools.sandbox.http.schemas import Email, Input, Name, Zone
from devtools.sandbox.resources import availabilities, meeting_types
from devtools.sandbox.resources.availabilities import NewAvailability
from devtools.sandbox.resources.meeting_types import FirstMeetingTypeInput
from devtools.sandbox.slugs import SHORTEST, free_slug, slug_of, slugs
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import utc_text

UserSlug = Annotated[str, Field(pattern=r"^[a-z0-9-]+$", min_length=SHORTEST, max_length=100)]


class UserInput(Input):
    """The body of `POST /v4/user`."""

    email: Email
    given_name: Name
    family_name: Name
    timezone: Zone
    slug: UserSlug | None = None
    availability: NewAvailability | None = None
    meeting_type: FirstMeetingTypeInput = FirstMeetingTypeInput()


class UserChange(Input):
    """The body of `PATCH /v4/user/{id}`. The e-mail cannot be changed."""

    given_name: Name | None = None
    family_name: Name | None = None
    slug: UserSlug | None = None


def create(company: Company, wanted: UserInput) -> Record:
    """Create a host and emit its webhook.

    Returns:
        The response of `POST /v4/user`.

    Raises:
        ApiRejection: the e-mail or the slug is taken (its status is not documented: 409 here), or the plan is full.
    """
    _check_free(company, wanted)
    user = _add(company, company.new_id("user", wanted.email.lower()), wanted, "api-platform")
    company.emit(
        "new_employee",
        user["id"],
        {name: user[name] for name in ("id", "email", "givenName", "familyName", "companyId")}
        | {"userType": "API_PLATFORM"},
    )
    meeting_type = next(item for item in company.meeting_types.values() if item["userId"] == user["id"])
    return {
        "userId": user["id"],
        "availabilityId": availabilities.default_of(company, user["id"])["id"],
        "meetingTypeId": meeting_type["id"],
        "bookingUrl": booking_url(company, meeting_type),
        "companyId": company.id,
    }


def create_admin(company: Company) -> None:
    """Create the user who opened the account."""
    body = {"email": "owner@example.com", "givenName": "The", "familyName": "Owner", "timezone": "Europe/Berlin"}
    _add(company, company.admin_id, UserInput.model_validate(body), "standard")


def _check_free(company: Company, wanted: UserInput) -> None:
    if any(user["email"].lower() == wanted.email.lower() for user in company.users.values()):
        raise ApiRejection(409, "A user with this email already exists")
    if wanted.slug in slugs(company.users):
        raise ApiRejection(409, "This slug is already taken")
    if company.plan.users is not None and len(company.users) >= company.plan.users:
        raise plan_limit("users")


def _add(company: Company, user_id: str, wanted: UserInput, user_type: str) -> Record:
    full_name = f"{wanted.given_name} {wanted.family_name}"
    now = utc_text(company.now())
    user = {
        "id": user_id,
        "email": wanted.email,
        "givenName": wanted.given_name,
        "familyName": wanted.family_name,
        "fullName": full_name,
        "slug": wanted.slug or free_slug(slug_of(full_name, SHORTEST), slugs(company.users)),
        "timezone": wanted.timezone,
        "userType": user_type,
        "picture": None,
        "companyId": company.id,
        "createdAt": now,
        "updatedAt": now,
    }
    company.users[user_id] = user
    hours = availabilities.create(company, user_id, wanted.timezone, wanted.availability)
    first = wanted.meeting_type
    info = {"name": first.name, "description": "", "duration": first.duration, "channel": first.channel}
    values = {"meetingInfo": info, "daysIntoFuture": first.days_into_future, "availabilityId": hours["id"]}
    meeting_types.create(company, user_id, values, first.slug)
    return user


def find(company: Company, user_id: str) -> Record:
    """Return a user.

    Raises:
        ApiRejection: it does not exist.
    """
    user = company.users.get(user_id)
    if not user:
        raise not_found("User")
    return user


def change(company: Company, user: Record, wanted: UserChange) -> None:
    """Apply the request's changes.

    Raises:
        ApiRejection: 400 for an empty body, 409 for a slug that is taken.
    """
    values = wanted.given_fields()
    if not values:
        raise ApiRejection(400, ["givenName, familyName or slug should not be empty"])
    if values.get("slug") in slugs(company.users) - {user["slug"]}:
        raise ApiRejection(409, "This slug is already taken")
    user |= values
    user["fullName"] = f"{user['givenName']} {user['familyName']}"
    company.touch(user)


def booking_url(company: Company, meeting_type: Record) -> str:
    """Return the booking URL."""
    return f"{company.booking_base}/{company.users[meeting_type['userId']]['slug']}/{meeting_type['slug']}"
