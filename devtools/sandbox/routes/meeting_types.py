"""Routes of meeting types."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company, user_id, uuid
from devtools.sandbox.http.responses import answered, empty
from devtools.sandbox.resources import meeting_types, users
from devtools.sandbox.resources.meeting_types import MeetingTypeChange, NewMeetingType

part = Blueprint("meeting_types", __name__)


@part.post("/v4/meeting-type")
def create() -> Response:
    """Makes one for the acting user."""
    record = meeting_types.create(company(), user_id(), body(NewMeetingType).said())
    return answered(record | {"bookingUrl": users.booking_url(company(), record)}, 201)


@part.get("/v4/meeting-type")
def listed() -> Response:
    """Those of the acting user: a bare array."""
    return answered([record for record in company().meeting_types.values() if record["userId"] == user_id()])


@part.get("/v4/meeting-type/<id>")
def one(id: str) -> Response:  # noqa: A002 - the name in the route
    """One of them."""
    return answered(meeting_types.find(company(), uuid(id), user_id()))


@part.patch("/v4/meeting-type/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Changes one."""
    record = meeting_types.find(company(), uuid(id), user_id())
    meeting_types.change(company(), record, body(MeetingTypeChange))
    return answered(record)


@part.delete("/v4/meeting-type/<id>")
def remove(id: str) -> Response:  # noqa: A002 - the name in the route
    """Removes one; its appointments stay."""
    del company().meeting_types[meeting_types.find(company(), uuid(id), user_id())["id"]]
    return empty()
