"""The app factory: the Flask app of the operators' web page."""

from typing import Any

from flask import Flask

from dashboard.access import OPEN_ENDPOINTS, LoginLimit, check_access
from dashboard.pages import add_headers, prepare_templates, register_errors
from dashboard.screens import SCREENS
from dashboard.settings import DashboardSettings
from dashboard.stores import EXTENSION, open_dashboard
from runtime.http.id_in_url import route_ids
from runtime.logs import log_unhandled_exception
from runtime.tracing import switch as tracing

MAX_FORM_BYTES = 256 * 1024
"""Largest form: a selection of one page's rows is a few kilobytes."""
MAX_FORM_PARTS = 1_500


class DashboardApp(Flask):
    """A Flask app that logs exceptions without the URL, which may hold a login token."""

    def log_exception(self, exc_info: Any) -> None:
        """Log an exception without the request's path."""
        log_unhandled_exception(exc_info[1])


def create_app(settings: DashboardSettings) -> Flask:
    """Build the app. Every route requires a login unless OPEN_ENDPOINTS names it."""
    app = DashboardApp("dashboard", static_url_path="/static")
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM_BYTES, MAX_FORM_PARTS=MAX_FORM_PARTS)
    route_ids(app.url_map)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions[EXTENSION] = open_dashboard(settings)
    app.extensions["login-limit"] = LoginLimit()
    app.extensions["dashboard-screens"] = [screen for screen in SCREENS if screen.title]
    app.before_request(check_access)
    app.after_request(add_headers)
    prepare_templates(app)
    register_errors(app)
    for screen in SCREENS:
        app.register_blueprint(screen)
    if tracing.start("dashboard"):
        from runtime.tracing.wsgi import TracedWsgi  # late: imports OpenTelemetry

        app.wsgi_app = TracedWsgi(app.wsgi_app, app.url_map)  # type: ignore[method-assign] # as Flask documents it
    unknown = OPEN_ENDPOINTS - set(app.view_functions)
    if unknown:
        raise ValueError(f"OPEN_ENDPOINTS names routes that do not exist: {sorted(unknown)}")
    return app
