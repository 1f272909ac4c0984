"""Render pages: templates, headers, errors, redirects."""

from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import structlog
from flask import Flask, Response, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dashboard import labels, people, times
from dashboard.access import visitor
from dashboard.i18n import LANGUAGES, N_, _, integer, language, ngettext
from dashboard.page_size import most_rows
from dashboard.stores import account_names
from operations.errors import OperationError
from operations.keyset import COUNT_LIMIT, WINDOW
from operations.redact import MASKED
from operations.runs.store import split_reason
from operations.store_errors import StoreError, store_error_message
from runtime.logs import log_unhandled_exception
from runtime.version import VERSION

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TITLES = {
    400: N_("This request cannot be read"),
    401: N_("You are not logged in"),
    403: N_("You may not do this"),
    404: N_("There is nothing here"),
    405: N_("This address takes no such request"),
    409: N_("This has changed meanwhile"),
    413: N_("This is too much"),
    429: N_("Too many attempts"),
    500: N_("Something went wrong here"),
    503: N_("A store does not answer"),
}
NEEDS_ROLE = {
    "operate": N_("This needs the role operate."),
    "people": N_("This needs the role people."),
    "read": N_("This needs the role read."),
}
OTHER_SITE = N_("Another site sent this form, so it was refused.")

MAX_ESCAPED = 20
"""Maximum number of characters of a text that are shown by their code, which is ten times as long."""

log = structlog.get_logger()


def render(template: str, code: int = 200, **values: Any) -> Response:
    """Render a page."""
    return make_response(render_template(template, **values), code)


def see_other(endpoint: str, **values: Any) -> Response:
    """Redirect after an act, so that reloading the page does not repeat it."""
    return make_response(redirect(url_for(endpoint, **values), 303))


def visible(value: Any) -> Any:
    """Escape characters that would change how a text is displayed, or what is copied from it, such as bidirectional
    overrides and terminal escapes: the first MAX_ESCAPED by their code, any further ones by a replacement character.
    """
    if not isinstance(value, str) or value.isprintable() or isinstance(value, Markup):
        return value
    shown, escaped = list[str](), 0
    for each in value:
        if each.isprintable() or each in "\n\r\t\u00a0":
            shown.append(each)
        else:
            escaped += 1
            shown.append(each.encode("unicode_escape").decode() if escaped <= MAX_ESCAPED else "\ufffd")
    return "".join(shown)


def here(**changes: str | None) -> str:
    """Return this page's URL with changed query parameters; None removes one."""
    values = {**request.args.to_dict(), **changes}
    return f"{request.path}?{urlencode({name: value for name, value in values.items() if value})}"


def prepare_templates(app: Flask) -> None:
    """Register translations, formatters and constants with the templates."""
    app.jinja_env.finalize = visible
    app.jinja_env.globals.update(
        _=_,
        ngettext=ngettext,
        integer=integer,
        moment=times.moment,
        age=times.age,
        span=times.span,
        COUNT_LIMIT=COUNT_LIMIT,
        WINDOW=WINDOW,
        STATUS_CLASSES=labels.STATUS_CLASSES,
        status_name=labels.status_name,
        act_name=labels.act_name,
        kind_name=labels.kind_name,
        target_name=labels.target_name,
        target_count=labels.target_count,
        entry_name=labels.entry_name,
        entry_class=labels.entry_class,
        split_reason=split_reason,
        MASKED=MASKED,
        here=here,
        most_rows=most_rows,
        account_names=account_names,
        masked=people.masked,
        masked_text=people.masked_text,
        masked_recipient=people.masked_recipient,
        is_revealed=people.is_revealed,
        compact=people.compact,
        VERSION=VERSION,
    )
    versions = {file.name: sha256(file.read_bytes()).hexdigest()[:10] for file in STATIC.iterdir()}

    @app.context_processor
    def values() -> dict[str, Any]:
        return dict(
            visitor=visitor(),
            language=language(),
            languages=LANGUAGES,
            zone=times.zone_name(),
            asset=lambda name: url_for("static", filename=name, v=versions[name]),
            screens=app.extensions["dashboard-screens"],
        )


def add_headers(response: Response) -> Response:
    """Add the security headers. Pages are never cached; the URLs of stylesheet and script hold a version."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable"
        if request.endpoint == "static" and response.status_code == 200
        else "no-store"
    )
    return response


def register_errors(app: Flask) -> None:
    """Register a page for each kind of error."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OperationError, lambda error: error_page(409, str(error)))
    for kind in StoreError:
        app.register_error_handler(kind, _store_error)
    app.register_error_handler(Exception, _unexpected_error)


def error_page(status: int, detail: str = "") -> Response:
    """Render an error."""
    again = status == 401 and request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"
    return render(
        "error.html", status, status=status, title=_(TITLES.get(status, TITLES[400])), detail=detail, again=again
    )


def _http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    status = error.code or 500
    detail = error.description or ""
    if status == 403:
        detail = _(NEEDS_ROLE.get(detail.removeprefix("role:"), OTHER_SITE))
    elif detail == type(error).description:
        detail = ""
    response = error_page(status, detail)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(error.valid_methods or ())
    if status == 429:
        response.headers["Retry-After"] = "60"
    return response


def _store_error(error: Exception) -> Response:
    log.warning("dashboard.store_unavailable", store="redis" if isinstance(error, RedisError) else "database")
    return error_page(503, store_error_message(error))


def _unexpected_error(error: Exception) -> Response:
    log_unhandled_exception(error)
    return error_page(500)
