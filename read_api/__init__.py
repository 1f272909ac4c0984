"""What other programs fetch over HTTP: the read API (docs/api.md), and the calendars of hosts. It only reads.

A route of the API states its query and its response as types (`schemas.py`), from which `openapi.py` generates the
document. Every route needs a token, unless `auth.OPEN_ENDPOINTS` names it.
"""
