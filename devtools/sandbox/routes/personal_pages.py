"""Routes of personal pages."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import admin_only, body, company, user_id, uuid
from devtools.sandbox.http.responses import json_response
from devtools.sandbox.resources import personal_pages, users
from devtools.sandbox.resources.personal_pages import PersonalPageChange

blueprint = Blueprint("personal_pages", __name__)


@blueprint.get("/v4/personal-page/me")
def mine() -> Response:
    """Return the acting user's page."""
    return json_response(personal_pages.of(company(), user_id()))


@blueprint.patch("/v4/personal-page/me")
def change() -> Response:
    """Change the acting user's page."""
    record = personal_pages.of(company(), user_id())
    personal_pages.change(record, body(PersonalPageChange))
    return json_response(record)


@blueprint.get("/v4/personal-page/<id>")
def of_user(id: str) -> Response:  # noqa: A002 - the name in the route
    """Return any user's page, for administrators."""
    admin_only()
    return json_response(personal_pages.of(company(), users.find(company(), uuid(id))["id"]))
