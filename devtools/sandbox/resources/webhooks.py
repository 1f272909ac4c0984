"""Webhook registrations. They are at the host's root, not under /v4, and their ids are integers."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from devtools.sandbox.http.errors import ApiRejection, not_found
from devtools.sandbox.http.schemas import Input
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import utc_text

FIRST_ID = 1500

EventType = Literal[
    "booking_created", "booking_cancelled", "booking_rescheduled", "new_employee", "form_submission",
    "credential_error", "review_submitted", "review_published", "signature_completed",
]  # fmt: skip


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL address")
    return text


Endpoint = Annotated[str, AfterValidator(_url)]
EventTypes = Annotated[list[EventType], Field(min_length=1), AfterValidator(lambda names: list(dict.fromkeys(names)))]


class NewWebhook(Input):
    """The body of `POST /webhooks`."""

    endpoint: Endpoint
    event_types: EventTypes
    description: str | None = None


class WebhookChange(Input):
    """The body of `PATCH /webhooks/{id}`. The list of event types is replaced."""

    endpoint: Endpoint | None = None
    event_types: EventTypes | None = None
    description: str | None = None


def create(company: Company, wanted: NewWebhook) -> Record:
    """Register an endpoint. A duplicate endpoint is a further registration.

    Raises:
        ApiRejection: 406, the plan's maximum is reached.
    """
    if len(company.webhooks) >= company.plan.webhooks:
        raise ApiRejection(406, "Limit reached: maximum number of webhooks")
    company.issued["webhook"] += 1
    record = {
        "id": FIRST_ID + company.issued["webhook"] - 1,
        "endpoint": wanted.endpoint,
        "description": wanted.description,
        "eventTypes": wanted.event_types,
        "companyId": company.id,
        "createdAt": utc_text(company.now()),
    }
    company.webhooks[str(record["id"])] = record
    return record


def find(company: Company, webhook_id: str) -> Record:
    """Return a registration.

    Raises:
        ApiRejection: 400 if the id is not a number, 404 if it does not exist.
    """
    if not webhook_id.isdecimal():
        raise ApiRejection(400, "Validation failed (numeric string is expected)")
    record = company.webhooks.get(webhook_id)
    if not record:
        raise not_found("Webhook")
    return record


def change(record: Record, wanted: WebhookChange) -> None:
    """Apply the request's changes."""
    record |= wanted.given_fields()
