"""Routes of webhooks. They belong to the company: every user sees all."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company
from devtools.sandbox.http.responses import empty, json_response
from devtools.sandbox.resources import webhooks
from devtools.sandbox.resources.webhooks import NewWebhook, WebhookChange

blueprint = Blueprint("webhooks", __name__)


@blueprint.post("/webhooks")
def create() -> Response:
    """Register an endpoint."""
    return json_response(webhooks.create(company(), body(NewWebhook)), 201)


@blueprint.get("/webhooks")
def listed() -> Response:
    """List all registrations in a bare array."""
    return json_response(list(company().webhooks.values()))


@blueprint.patch("/webhooks/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Change a registration."""
    record = webhooks.find(company(), id)
    webhooks.change(record, body(WebhookChange))
    return json_response(record)


@blueprint.delete("/webhooks/<id>")
def remove(id: str) -> Response:  # noqa: A002 - the name in the route
    """Delete a registration."""
    del company().webhooks[str(webhooks.find(company(), id)["id"])]
    return empty()
