"""Form fields that several screens share."""

from flask import abort

from dashboard.filters import text_of
from dashboard.i18n import N_, _

SAY_WHY = N_("Say why: it is recorded with your name.")


def reason_of_form() -> str:
    """Return the reason for an act; abort with 400 if there is none."""
    reason = text_of("reason")
    if not reason:
        abort(400, _(SAY_WHY))
    return reason
