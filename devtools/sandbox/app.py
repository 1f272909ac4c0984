"""The app factory: the API, the developer page, and the checks before each request."""

from collections.abc import Sequence
from datetime import timedelta

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from devtools.sandbox.faults.injector import FaultInjector
from devtools.sandbox.http.auth import CAPABILITIES, USER_HEADER, Credentials, acting_user, expired
from devtools.sandbox.http.errors import ApiRejection
from devtools.sandbox.http.rate_limit import TokenBuckets
from devtools.sandbox.http.responses import error_response, too_many_requests
from devtools.sandbox.routes import BLUEPRINTS
from devtools.sandbox.ui import routes
from devtools.sandbox.ui.routes import PageContext


def create_app(
    page_contexts: Sequence[PageContext],
    credentials: Credentials,
    fault_injector: FaultInjector,
    buckets: TokenBuckets | None,
) -> Flask:
    """Create the app for one or more companies; it never injects faults itself.

    Args:
        page_contexts: each company, and the page's dependencies.
        credentials: the valid keys and tokens.
        fault_injector: decides whether all credentials are expired, and the form of a 429's Retry-After.
        buckets: the rate limit; None for none.
    """
    app = Flask(__name__, static_folder=None)
    app.extensions |= {"page_contexts": page_contexts}
    app.register_error_handler(ApiRejection, error_response)
    app.register_error_handler(HTTPException, _http_error)

    def identify() -> Response | None:
        blueprint = request.blueprint or ""
        if blueprint not in CAPABILITIES:
            return None
        credential = credentials.authenticate(request.headers.get("authorization", ""))
        if fault_injector.keys_are_expired:
            raise expired()
        route = request.environ["sandbox.route"]
        company = credential.company
        wait = buckets.take(request.headers["authorization"], company.now()) if buckets else 0
        if wait:
            form = fault_injector.choice("retry-after", fault_injector.faults.retry_after, route)
            return too_many_requests(timedelta(seconds=wait), form, company.now())
        g.company, g.user_id = company, acting_user(credential, request.headers.get(USER_HEADER), route, blueprint)
        return None

    app.before_request(identify)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    app.register_blueprint(routes.page)
    return app


def _http_error(error: HTTPException) -> Response:
    """Answer 404 for an unknown route and for a wrong method."""
    status = error.code or 500
    if status in (404, 405):
        return error_response(ApiRejection(404, f"Cannot {request.method} {request.path}"))
    return error_response(ApiRejection(status, "Internal server error" if status == 500 else error.name))
