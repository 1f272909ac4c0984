"""The webhook's routes, for Flask: what comes so far is no delivery, and Flask says 404 or 405."""

from flask import Blueprint, Response, abort

from runtime.signed_address import WEBHOOK_PATH

blueprint = Blueprint("webhook", __name__)


@blueprint.post(WEBHOOK_PATH, provide_automatic_options=False)
@blueprint.post(f"{WEBHOOK_PATH}/<token>", provide_automatic_options=False)
def webhook(token: str = "") -> Response:
    """Not what the authentication takes for a webhook: Flask forgives a second leading slash."""
    abort(404)
