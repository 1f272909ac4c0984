"""The routes of the API: thin, one module for each part.

The functions in `resources` need no request, so that the demo, the seed data and each other can call them too.
"""

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
