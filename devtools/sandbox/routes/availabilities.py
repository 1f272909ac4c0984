"""Routes of availabilities."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox import availabilities
from devtools.sandbox.answers import answered
from devtools.sandbox.availabilities import AvailabilityChange
from devtools.sandbox.current import body, company, user_id, uuid

part = Blueprint("availabilities", __name__)


@part.get("/v4/availability/<id>")
def one(id: str) -> Response:  # noqa: A002 - the name in the route
    """One of them."""
    return answered(availabilities.seen(availabilities.find(company(), uuid(id), user_id())))


@part.patch("/v4/availability/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Changes one."""
    record = availabilities.find(company(), uuid(id), user_id())
    availabilities.change(record, body(AvailabilityChange))
    return answered(availabilities.seen(record))
