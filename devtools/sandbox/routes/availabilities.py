"""Routes of availabilities."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company, user_id, uuid
from devtools.sandbox.http.responses import json_response
from devtools.sandbox.resources import availabilities
from devtools.sandbox.resources.availabilities import AvailabilityChange

blueprint = Blueprint("availabilities", __name__)


@blueprint.get("/v4/availability/<id>")
def one(id: str) -> Response:  # noqa: A002 - the name in the route
    """Return an availability."""
    return json_response(availabilities.to_json(availabilities.find(company(), uuid(id), user_id())))


@blueprint.patch("/v4/availability/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Change an availability."""
    record = availabilities.find(company(), uuid(id), user_id())
    availabilities.change(record, body(AvailabilityChange))
    return json_response(availabilities.to_json(record))
