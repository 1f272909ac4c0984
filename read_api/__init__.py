"""The read API: bookings, every change of them in order, and hosts, as JSON for the platform (docs/api.md).

A route states its query and its response as types (`schemas.py`), from which `openapi.py` generates the document.
Every route needs a token, unless `auth.OPEN_ENDPOINTS` names it.
"""
