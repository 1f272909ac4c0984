"""Routes of webhooks. They belong to the company: every user sees all."""

from flask import Blueprint
from werkzeug.wrappers import Response

from devtools.sandbox.http.context import body, company
from devtools.sandbox.http.responses import answered, empty
from devtools.sandbox.resources import webhooks
from devtools.sandbox.resources.webhooks import NewWebhook, WebhookChange

part = Blueprint("webhooks", __name__)


@part.post("/webhooks")
def create() -> Response:
    """Registers one."""
    return answered(webhooks.create(company(), body(NewWebhook)), 201)


@part.get("/webhooks")
def listed() -> Response:
    """All: a bare array."""
    return answered(list(company().webhooks.values()))


@part.patch("/webhooks/<id>")
def change(id: str) -> Response:  # noqa: A002 - the name in the route
    """Changes one."""
    record = webhooks.find(company(), id)
    webhooks.change(record, body(WebhookChange))
    return answered(record)


@part.delete("/webhooks/<id>")
def remove(id: str) -> Response:  # noqa: A002 - the name in the route
    """Removes one."""
    del company().webhooks[str(webhooks.find(company(), id)["id"])]
    return empty()
