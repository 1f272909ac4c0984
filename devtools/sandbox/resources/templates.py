"""Meeting type templates: created once, then assigned to hosts, each of whom gets such a meeting type."""

from typing import Any, Literal

from pydantic import Field

from devtools.sandbox.http.errors import ApiRejection, not_found
from devtools.sandbox.http.schemas import Input
from devtools.sandbox.resources import meeting_types, users
from devtools.sandbox.resources.meeting_types import InfoChange, NewInfo, Options, Spots
from devtools.sandbox.state.company import Company, Record
from devtools.sandbox.timestamps import utc_text


class TemplateChange(Input):
    """The body of `PATCH /v4/meeting-type-template/{id}`."""

    meeting_info: InfoChange | None = None
    meeting_options: Options | None = None
    spots: Spots | None = None
    locations: list[Any] | None = None
    template_type: Literal["individual", "team"] | None = None
    queue_type: Literal["simpleRoundRobin", "advancedRoundRobin", "equalDistribution"] | None = None
    locked_fields: list[str] | None = None


class NewTemplate(TemplateChange):
    """The body of `POST /v4/meeting-type-template/create`."""

    meeting_info: NewInfo


class Assignment(Input):
    """The body of `POST /v4/meeting-type-template/assign/{id}`: documented only in a recipe, with `userId`."""

    user_id: str | None = None
    user_ids: list[str] = Field(default_factory=list)


def create(company: Company, wanted: NewTemplate) -> Record:
    """Create a template."""
    values = wanted.given_fields()
    now = utc_text(company.now())
    template_id = company.new_id("template", values["meetingInfo"]["name"])
    defaults = {"meetingOptions": {}, "spots": 1, "locations": [], "templateType": "individual", "queueType": None}
    stamps = {"companyId": company.id, "createdAt": now, "updatedAt": now}
    company.templates[template_id] = {"id": template_id, **defaults, "lockedFields": [], **values, **stamps}
    return company.templates[template_id]


def find(company: Company, template_id: str) -> Record:
    """Return a template.

    Raises:
        ApiRejection: it does not exist.
    """
    template = company.templates.get(template_id)
    if not template:
        raise not_found("Template")
    return template


def change(company: Company, template: Record, wanted: TemplateChange) -> None:
    """Apply the request's changes."""
    values = wanted.given_fields()
    for name in ("meetingInfo", "meetingOptions"):
        if name in values:
            values[name] = template[name] | values[name]
    template |= values
    company.touch(template)


def assign(company: Company, template: Record, wanted: Assignment) -> None:
    """Create a meeting type for each host; each call creates another.

    Raises:
        ApiRejection: no user is named, or one does not exist.
    """
    user_ids = wanted.user_ids or [wanted.user_id or ""]
    if "" in user_ids:
        raise ApiRejection(400, ["userId should not be empty"])
    hosts = [users.find(company, user_id) for user_id in user_ids]
    values = {name: template[name] for name in ("meetingInfo", "meetingOptions", "spots", "locations")}
    for host in hosts:
        meeting_types.create(company, host["id"], values)
