"""Routes of meeting type templates."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import admin_only, body, company, uuid
from devtools.sandbox.http.responses import empty, json_response
from devtools.sandbox.resources import templates
from devtools.sandbox.resources.templates import Assignment, NewTemplate, TemplateChange

blueprint = Blueprint("templates", __name__)


@blueprint.post("/v4/meeting-type-template/create")
def create() -> Response:
    """Create a template."""
    admin_only()
    return json_response(templates.create(company(), body(NewTemplate)), 201)


@blueprint.patch("/v4/meeting-type-template/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Change a template."""
    admin_only()
    template = templates.find(company(), uuid(id))
    templates.change(company(), template, body(TemplateChange))
    return json_response(template)


@blueprint.post("/v4/meeting-type-template/assign/<id>")
def assign(id: str) -> Response:  # noqa: A002 - the name in the route
    """Assign a template to hosts. meetergo's response is not documented; here it is empty."""
    admin_only()
    templates.assign(company(), templates.find(company(), uuid(id)), body(Assignment))
    return empty(201)
