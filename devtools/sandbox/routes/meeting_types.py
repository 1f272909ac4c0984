"""Routes of meeting types."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company, user_id, uuid
from devtools.sandbox.http.responses import empty, json_response
from devtools.sandbox.resources import meeting_types, users
from devtools.sandbox.resources.meeting_types import MeetingTypeChange, NewMeetingType

blueprint = Blueprint("meeting_types", __name__)


@blueprint.post("/v4/meeting-type")
def create() -> Response:
    """Create a meeting type for the acting user."""
    record = meeting_types.create(company(), user_id(), body(NewMeetingType).given_fields())
    return json_response(record | {"bookingUrl": users.booking_url(company(), record)}, 201)


@blueprint.get("/v4/meeting-type")
def listed() -> Response:
    """List the acting user's meeting types in a bare array."""
    return json_response([record for record in company().meeting_types.values() if record["userId"] == user_id()])


@blueprint.get("/v4/meeting-type/<id>")
def one(id: str) -> Response:  # noqa: A002 - the name in the route
    """Return a meeting type."""
    return json_response(meeting_types.find(company(), uuid(id), user_id()))


@blueprint.patch("/v4/meeting-type/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Change a meeting type."""
    record = meeting_types.find(company(), uuid(id), user_id())
    meeting_types.change(company(), record, body(MeetingTypeChange))
    return json_response(record)


@blueprint.delete("/v4/meeting-type/<id>")
def remove(id: str) -> Response:  # noqa: A002 - the name in the route
    """Delete a meeting type; its appointments stay."""
    del company().meeting_types[meeting_types.find(company(), uuid(id), user_id())["id"]]
    return empty()
