"""Answers: what a status and a body mean, in our own words. A body may be JSON, empty, or anything else."""

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
from runtime.retry_after import wait

Json = Any
"""A value that JSON can hold."""

EXISTS = re.compile(r"\balready\b|\bduplicate|\bmust be unique\b|(?<!\bnot )\bexists\b", re.IGNORECASE)
REQUEST_TIMEOUT, CONFLICT, TOO_MANY = 408, 409, 429

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
    """What the body of a refusal says; each part may be missing.

    Attributes:
        said: the message, a list of them joined.
        code: `errorCode` or `code`, such as `slot-occupied` or `PLAN_LIMIT_REACHED`.
        fields: field -> what is wrong with it.
        feature: what the plan lacks.
    """

    said: str
    code: str
    fields: Mapping[str, str]
    feature: str


def body_of(content: bytes) -> Json:
    """The JSON of a body; None if it is empty.

    Raises:
        ValueError: there is something, but no JSON.
    """
    with suppress(ValueError, RecursionError):
        return json.loads(content) if content.strip() else None
    raise ValueError("no JSON")  # outside of the block: json's own error holds the whole body


def error_for(call: Request, status: int, content: bytes, retry_after: str | None, now: datetime) -> errors.ApiError:
    """The error that an answer is, which was no success.

    Args:
        call: what we asked.
        status: of the answer.
        content: its body.
        retry_after: its header of that name.
        now: when it came.
    """
    complaint = _complaint(content, call.body)
    kind = _kind(call, status, complaint)
    parts = [complaint.said, *(f"{name}: {said}" for name, said in complaint.fields.items())]
    words = "; ".join(part for part in parts if part)
    return kind(
        f"meetergo answered {status} to {call.name}" + (f" ({words})" if words else ""),
        status=status,
        said=complaint.said,
        fields=complaint.fields,
        feature=complaint.feature,
        retry_after=wait(retry_after, now),
    )


def _kind(call: Request, status: int, complaint: ErrorBody) -> type[errors.ApiError]:
    said = f"{complaint.said} {' '.join(complaint.fields.values())}"
    if complaint.code == "PLAN_LIMIT_REACHED":
        return errors.PlanLimit
    if status >= 500 or status == REQUEST_TIMEOUT:
        return errors.Unavailable if call.is_read else errors.OutcomeUnknown
    if "slot-occupied" in (complaint.code, complaint.said) or (status == CONFLICT and call.takes_a_slot):
        return errors.SlotTaken
    if status == 401 and "expired" in said.lower():
        return errors.KeyExpired
    if status in BY_STATUS:
        return BY_STATUS[status]
    if not 400 <= status < 500:
        return errors.Rejected  # a redirect: it would take the key elsewhere
    return errors.AlreadyExists if EXISTS.search(said) else errors.BadRequest


def _complaint(content: bytes, sent: Json) -> ErrorBody:
    try:
        body = body_of(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    message = body.get("message") or body.get("error") or ""
    messages = message if isinstance(message, list) else [message]
    return ErrorBody(
        said=redact("; ".join(map(_text, messages)), sent),
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
