"""Responses: translate a status and a body into an error. A body may be JSON, empty, or anything else."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from meetergo.api import errors
from meetergo.api.redact import redact
from meetergo.api.request import Request
from meetergo.retry_after import parse_retry_after
from meetergo.wire import storable

Json = Any
"""A JSON value."""

EXISTS = re.compile(r"\balready\b|\bduplicate|\bmust be unique\b|(?<!\bnot )\bexists\b", re.IGNORECASE)
REQUEST_TIMEOUT, CONFLICT, TOO_MANY_REQUESTS = 408, 409, 429

REDIRECT = "a redirect, which is not followed: meetergo may be under maintenance, or its API at another address"

BY_STATUS: dict[int, type[errors.ApiError]] = {
    402: errors.PlanLimit,
    401: errors.Unauthorised,
    403: errors.Forbidden,
    404: errors.NotFound,
    406: errors.LimitReached,
    409: errors.AlreadyExists,
    429: errors.RateLimited,
}


@dataclass(frozen=True)
class ErrorBody:
    """The body of an error response; each part may be missing.

    Attributes:
        detail: the message; a list is joined.
        code: `errorCode` or `code`, such as `slot-occupied` or `PLAN_LIMIT_REACHED`.
        fields: field -> error.
        feature: the feature that the plan lacks.
    """

    detail: str
    code: str
    fields: Mapping[str, str]
    feature: str


def body_of(content: bytes) -> Json:
    """Parse the JSON of a body, without characters that cannot be stored; None if it is empty.

    Raises:
        ValueError: it is neither empty nor JSON.
    """
    with suppress(ValueError, RecursionError):
        return storable(json.loads(content), content) if content.strip() else None
    raise ValueError("no JSON")  # outside the except block: json's own error holds the whole body


def error_for(request: Request, status: int, content: bytes, retry_after: str | None, now: datetime) -> errors.ApiError:
    """Return the error for an unsuccessful response.

    Args:
        request: the request.
        status: status of the response.
        content: body of the response.
        retry_after: its `Retry-After` header.
        now: time of the response.
    """
    error_body = _parse_error(content, request.body)
    error_class = _error_class(request, status, error_body)
    parts = [error_body.detail, *(f"{name}: {detail}" for name, detail in error_body.fields.items())]
    if 300 <= status < 400:
        parts.append(REDIRECT)
    summary = "; ".join(part for part in parts if part)
    return error_class(
        f"meetergo answered {status} to {request.name}" + (f" ({summary})" if summary else ""),
        status=status,
        detail=error_body.detail,
        fields=error_body.fields,
        feature=error_body.feature,
        retry_after=parse_retry_after(retry_after, now),
    )


def _error_class(request: Request, status: int, error_body: ErrorBody) -> type[errors.ApiError]:
    detail = f"{error_body.detail} {' '.join(error_body.fields.values())}"
    if error_body.code == "PLAN_LIMIT_REACHED":
        return errors.PlanLimit
    if not 400 <= status < 500 or status == REQUEST_TIMEOUT:
        return errors.Unavailable if request.is_read else errors.OutcomeUnknown
    if "slot-occupied" in (error_body.code, error_body.detail) or (status == CONFLICT and request.takes_a_slot):
        return errors.SlotTaken
    if status == 401 and "expired" in detail.lower():
        return errors.KeyExpired
    if status in BY_STATUS:
        return BY_STATUS[status]
    return errors.AlreadyExists if EXISTS.search(detail) else errors.BadRequest


def _parse_error(content: bytes, sent: Json) -> ErrorBody:
    try:
        body = body_of(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    message = body.get("message") or body.get("error") or ""
    messages = message if isinstance(message, list) else [message]
    return ErrorBody(
        detail=redact("; ".join(map(_text, messages)), sent),
        code=_text(body.get("errorCode") or body.get("code") or ""),
        fields=_fields(body.get("errors"), sent),
        feature=redact(_text(body.get("feature") or "")),
    )


def _fields(listed: Json, sent: Json) -> dict[str, str]:
    faults = [fault for fault in listed if isinstance(fault, dict)] if isinstance(listed, list) else []
    return {
        redact(_text(fault.get("field") or "?")): redact(_text(fault.get("message") or ""), sent) for fault in faults
    }


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
