"""The context of a request: the company and the acting user."""

from typing import Any
from uuid import UUID

from flask import g, request

from devtools.sandbox.http.errors import ApiRejection, forbidden
from devtools.sandbox.http.schemas import InputType, read_body, read_query
from devtools.sandbox.state.company import Company


def company() -> Company:
    """Return the company of the request's credential."""
    found: Company = g.company
    return found


def user_id() -> str:
    """Return the acting user."""
    return str(g.user_id)


def admin_only() -> None:
    """Reject users who are not administrators.

    Raises:
        ApiRejection: 403.
    """
    if user_id() != company().admin_id:
        raise forbidden()


def body(model: type[InputType]) -> InputType:
    """Return the validated body.

    Raises:
        ApiRejection: 400, it is invalid.
    """
    return read_body(model, json_body())


def json_body() -> Any:
    """Return the body as JSON.

    Raises:
        ApiRejection: 400, it is not JSON.
    """
    found = request.get_json(silent=True)
    if not isinstance(found, dict):
        raise ApiRejection(400, "Expected a JSON object with Content-Type: application/json")
    return found


def query(model: type[InputType]) -> InputType:
    """Return the validated query.

    Raises:
        ApiRejection: 400, it is invalid.
    """
    return read_query(model, request.args)


def uuid(text: str) -> str:
    """Return an id from the path.

    Raises:
        ApiRejection: 500 if it is not a UUID, as meetergo answers.
    """
    try:
        UUID(text)
    except ValueError:
        raise ApiRejection(500, "Internal server error") from None
    return text
