"""Routes of users."""

import json
from typing import Annotated, Any, Literal

from flask import Blueprint, request
from pydantic import Field
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import admin_only, body, company, json_body, query, user_id, uuid
from devtools.sandbox.http.responses import json_response
from devtools.sandbox.http.schemas import Input, read_body
from devtools.sandbox.resources import users
from devtools.sandbox.resources.users import UserChange, UserInput

blueprint = Blueprint("users", __name__)


class UserQuery(Input):
    """The query of the list. The name of `type` is a guess, as no document shows it."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    offset: Annotated[int, Field(ge=0)] = 0
    type: Literal["standard", "resource", "api-platform", "partner"] | None = None


@blueprint.post("/v4/user")
def create() -> Response:
    """Create a user."""
    admin_only()
    return json_response(users.create(company(), read_body(UserInput, _fields())), 201)


def _fields() -> Any:
    """Return the body: JSON, as on the pages, or a form with JSON in its parts, as in the reference."""
    if request.mimetype != "multipart/form-data":
        return json_body()
    parts = ("availability", "meetingType")
    return {name: json.loads(text) if name in parts else text for name, text in request.form.items()}


@blueprint.get("/v4/user")
def listed() -> Response:
    """List users by limit and offset, not by pages."""
    admin_only()
    wanted = query(UserQuery)
    found = [user for user in company().users.values() if wanted.type in (None, user["userType"])]
    page = found[wanted.offset : wanted.offset + wanted.limit]
    return json_response({"users": page, "total": len(found), "limit": wanted.limit, "offset": wanted.offset})


@blueprint.get("/v4/user/me")
def me() -> Response:
    """Return the acting user."""
    return json_response(users.find(company(), user_id()))


@blueprint.patch("/v4/user/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Change a user."""
    admin_only()
    user = users.find(company(), uuid(id))
    users.change(company(), user, body(UserChange))
    return json_response(user)
