"""The app factory: the API, the page for developers, and what is asked of each request first."""

from datetime import timedelta

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from devtools.sandbox.faults.injector import FaultInjector
from devtools.sandbox.http.auth import CAPABILITIES, USER_HEADER, Credentials, acting_user, expired
from devtools.sandbox.http.errors import ApiRejection
from devtools.sandbox.http.rate_limit import Buckets
from devtools.sandbox.http.responses import refusal, too_many
from devtools.sandbox.routes import PARTS
from devtools.sandbox.ui import routes
from devtools.sandbox.ui.routes import PageContext


def create_app(bench: PageContext, credentials: Credentials, mischief: FaultInjector, buckets: Buckets | None) -> Flask:
    """Answers truly about a company.

    Args:
        bench: the company, and what the page needs.
        credentials: who may ask.
        mischief: knows whether all credentials are expired, and in which form a 429 says how long to wait.
        buckets: the rate limit, if there is one.
    """
    app = Flask(__name__, static_folder=None)
    company = bench.company
    app.extensions |= {"company": company, "bench": bench}
    app.register_error_handler(ApiRejection, refusal)
    app.register_error_handler(HTTPException, _refuse)

    def identify() -> Response | None:
        part = request.blueprint or ""
        if part not in CAPABILITIES:
            return None
        credential = credentials.of(request.headers.get("authorization", ""))
        if mischief.keys_are_expired:
            raise expired()
        route = request.environ["sandbox.route"]
        wait = buckets.wait(request.headers["authorization"], company.now()) if buckets else 0
        if wait:
            form = mischief.choice("retry-after", mischief.trouble.retry_after, route)
            return too_many(timedelta(seconds=wait), form, company.now())
        g.user_id = acting_user(company, credential, request.headers.get(USER_HEADER), route, part)
        return None

    app.before_request(identify)
    for part in PARTS:
        app.register_blueprint(part)
    app.register_blueprint(routes.page)
    return app


def _refuse(error: HTTPException) -> Response:
    """What is no route is a 404, and so is a wrong method."""
    status = error.code or 500
    if status in (404, 405):
        return refusal(ApiRejection(404, f"Cannot {request.method} {request.path}"))
    return refusal(ApiRejection(status, "Internal server error" if status == 500 else error.name))
