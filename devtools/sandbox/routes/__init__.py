"""The routes of the API: thin, one module for each part."""

from devtools.sandbox.routes import (
    appointments,
    availabilities,
    bookings,
    meeting_types,
    personal_pages,
    templates,
    users,
    webhooks,
)

PARTS = (
    users.part,
    availabilities.part,
    meeting_types.part,
    bookings.part,
    appointments.part,
    personal_pages.part,
    templates.part,
    webhooks.part,
)
