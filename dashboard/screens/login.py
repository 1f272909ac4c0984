"""Log in by a one-time link, and log out."""

from flask import Response, abort, current_app, make_response, redirect, request, url_for

from dashboard.access import SESSION_COOKIE, LoginLimit, ScreenBlueprint, is_https
from dashboard.i18n import N_, _
from dashboard.pages import error_page, render, see_other
from dashboard.stores import current
from operations.dashboard_login import SESSION_LIFETIME, use_link

screen = ScreenBlueprint("login")
USED = N_("This link was used before.")
INVALID = N_("This link is not valid, or older than 10 minutes.")


@screen.get("/login", provide_automatic_options=False)
def use() -> Response:
    """Log in by a link. A prefetch by the browser does not use it up."""
    if request.method == "HEAD" or "prefetch" in request.headers.get("Sec-Purpose", ""):
        return make_response("", 204)
    found = current().logins.read_link(request.args.get("token", ""))
    if found is None:
        return _refuse(_(INVALID))
    operator, link_id = found
    if not use_link(current().redis, link_id):
        return _refuse(_(USED))
    from_elsewhere = request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
    home = url_for("home.show")
    # Browsers withhold SameSite=Strict cookies on a redirect from another site, but not after a refresh.
    response = render("login.html", home=home) if from_elsewhere else make_response(redirect(home, 303))
    response.set_cookie(
        SESSION_COOKIE,
        current().logins.session(operator),
        max_age=SESSION_LIFETIME,
        secure=is_https(),
        httponly=True,
        samesite="Strict",
    )
    return response


def _refuse(reason: str) -> Response:
    """Refuse a login. A valid link is not limited: behind a proxy, strangers share its address."""
    limit: LoginLimit = current_app.extensions["login-limit"]
    if limit.is_exceeded():
        abort(429, _("Wait a minute, then open a new link."))
    limit.record_failure()
    return error_page(401, reason)


@screen.post("/logout", provide_automatic_options=False)
def logout() -> Response:
    """End the session of this browser."""
    response = see_other("home.show")
    response.delete_cookie(SESSION_COOKIE, secure=is_https(), httponly=True, samesite="Strict")
    return response
