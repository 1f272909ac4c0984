"""Parts of forms and pages that several screens share."""

from flask import Flask, abort

from dashboard import people
from dashboard.filters import text_of
from dashboard.i18n import N_, _

SAY_WHY = N_("Say why: it is recorded with your name.")


def reason_of_form() -> str:
    """Return the reason of an act; an act without one is refused."""
    reason = text_of("reason", "form")
    if not reason:
        abort(400, _(SAY_WHY))
    return reason


def prepare_parts(app: Flask) -> None:
    """Give templates what `parts.html` needs."""
    app.jinja_env.globals.update(people=people)
