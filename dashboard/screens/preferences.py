"""The reader's language and time zone, kept in cookies."""

from zoneinfo import available_timezones

from flask import Response, abort, make_response, redirect, request

from dashboard.access import ScreenBlueprint, is_https
from dashboard.i18n import LANGUAGE_COOKIE, LANGUAGES, _
from dashboard.pages import render
from dashboard.times import ZONE_COOKIE
from models.platform_user import find_zone

screen = ScreenBlueprint("preferences", home="show")
YEAR_SECONDS = 365 * 24 * 3600


@screen.page("/preferences")
def show() -> Response:
    """Show the form."""
    zones = sorted(name for name in available_timezones() if "/" in name and not name.startswith(("Etc/", "posix/")))
    return render("preferences.html", zones=["UTC", *zones], back=_local_path(request.args.get("back", "/")))


@screen.post("/preferences", provide_automatic_options=False)
def save() -> Response:
    """Keep the choice in cookies."""
    response = make_response(redirect(_local_path(request.form.get("back", "/")), 303))
    chosen = {LANGUAGE_COOKIE: request.form.get("language"), ZONE_COOKIE: request.form.get("zone")}
    if chosen[LANGUAGE_COOKIE] not in {None, *LANGUAGES} or not find_zone(chosen[ZONE_COOKIE] or "UTC"):
        abort(400, _("There is no such language or time zone."))
    for name, value in chosen.items():
        if value:
            response.set_cookie(name, value, max_age=YEAR_SECONDS, secure=is_https(), samesite="Lax")
    return response


def _local_path(path: str) -> str:
    """Return the path if it is local, else "/": this prevents an open redirect."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"
