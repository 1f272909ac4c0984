"""ApiRejection: a rejected request, in the documented shapes of meetergo's errors.

Source: the error-handling page; a list of messages, `errorCode` and the plan's code as clients have seen them.
"""

from http import HTTPStatus
from typing import Any


class ApiRejection(Exception):
    """Raised to end a request with an error response.

    Args:
        status: status of the response.
        message: one message, or a list as the validator returns it.
        more: other fields of the body, such as `errorCode`.
    """

    def __init__(self, status: int, message: str | list[str], **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"statusCode": status, "message": message, "error": HTTPStatus(status).phrase, **more}


def slot_occupied() -> ApiRejection:
    """Build the error of a slot that is not, or no longer, free."""
    return ApiRejection(400, "slot-occupied", errorCode="slot-occupied")


def not_found(what: str) -> ApiRejection:
    """Build the error of an id that no object has."""
    return ApiRejection(404, f"{what} not found")


def forbidden() -> ApiRejection:
    """Build the error of what belongs to another user, or needs an administrator."""
    return ApiRejection(403, "Insufficient permissions")


def plan_limit(feature: str) -> ApiRejection:
    """Build the error of a feature that the plan lacks. The status is not documented; plan limits usually use 403."""
    return ApiRejection(403, "Your plan does not include this", code="PLAN_LIMIT_REACHED", feature=feature)
