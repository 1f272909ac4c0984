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

BLUEPRINTS = (
    users.blueprint,
    availabilities.blueprint,
    meeting_types.blueprint,
    bookings.blueprint,
    appointments.blueprint,
    personal_pages.blueprint,
    templates.blueprint,
    webhooks.blueprint,
)
