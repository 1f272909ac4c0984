"""The health check."""

from flask import Response, make_response

from dashboard.access import ScreenBlueprint

screen = ScreenBlueprint("health")


@screen.get("/healthz", provide_automatic_options=False)
def health() -> Response:
    """Answer as long as the process serves; query no store."""
    return make_response("ok\n", 200, {"Content-Type": "text/plain; charset=utf-8"})
