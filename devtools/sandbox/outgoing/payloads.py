"""Payloads of webhooks: an appointment as on the events page, and the two envelopes.

Source: developer.meetergo.com/developer-docs/webhooks/events. A reschedule nests the appointment, and the names of a
cancellation are not those of the REST API.
"""

import json

from devtools.sandbox.state.company import Company, Record

COPIED_FIELDS = ("id", "secret", "start", "end", "location", "isCancelled", "rescheduledAt", "attendees", "hostIds")
HOST_FIELDS = ("id", "email", "givenName", "familyName", "fullName", "slug", "picture")


def created(company: Company, record: Record) -> Record:
    """Return the content of `booking_created`."""
    meeting_type = company.meeting_types.get(record["meetingTypeId"], {})
    info = {name: record["meetingInfo"][name] for name in ("name", "duration")}
    return {
        **{name: record[name] for name in COPIED_FIELDS},
        "meetingInfo": record["hostingInfo"],
        "hosts": [{name: company.users[host_id][name] for name in HOST_FIELDS} for host_id in record["hostIds"]],
        "meetingType": {
            "id": record["meetingTypeId"],
            "slug": meeting_type.get("slug"),
            "meetingInfo": info,
            "metadata": meeting_type.get("metadata", {}),
        },
        **{name: record[name] for name in ("meetingTypeId", "companyId", "createdAt", "updatedAt")},
    }


def cancelled(company: Company, record: Record) -> Record:
    """Return the content of `booking_cancelled`, also for a meeting that continues after one guest left."""
    cancel = record["cancel"]
    if not record["isCancelled"]:
        return created(company, record) | {"cancel": {"actionAt": None, "reason": None}}
    values = {"cancelledAt": cancel["actionAt"], "cancelledBy": cancel["actionSource"], "reason": cancel["reason"]}
    return created(company, record) | {"cancel": values}


def rescheduled(company: Company, record: Record, previous: str) -> Record:
    """Return the content of `booking_rescheduled`."""
    return {"oldStartDate": previous, "rescheduledAppointment": created(company, record)}


def encode(event: str, content: Record, wire: str) -> bytes:
    """Return the bytes of a webhook; `wire` is `new` or `old`."""
    body = {"webhookType": event, **content} if wire == "new" else {"event": event, "data": content}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
