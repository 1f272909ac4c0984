"""ApiRejection: a request that gets an error, in the shapes that meetergo's errors have.

Source: the error-handling page; a list of messages, `errorCode` and the plan's code as clients have seen them.
"""

from http import HTTPStatus
from typing import Any


class ApiRejection(Exception):
    """Ends a request.

    Args:
        status: of the answer.
        message: one, or a list as the validator has it.
        more: other fields of the body, such as `errorCode`.
    """

    def __init__(self, status: int, message: str | list[str], **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"statusCode": status, "message": message, "error": HTTPStatus(status).phrase, **more}


def slot_occupied() -> ApiRejection:
    """The time is not free, or not any more."""
    return ApiRejection(400, "slot-occupied", errorCode="slot-occupied")


def not_found(what: str) -> ApiRejection:
    """There is none with that id."""
    return ApiRejection(404, f"{what} not found")


def forbidden() -> ApiRejection:
    """Somebody else's, or for administrators."""
    return ApiRejection(403, "Insufficient permissions")


def plan_limit(feature: str) -> ApiRejection:
    """The plan does not go so far. The status is not documented; 403 is what plan walls usually have."""
    return ApiRejection(403, "Your plan does not include this", code="PLAN_LIMIT_REACHED", feature=feature)
