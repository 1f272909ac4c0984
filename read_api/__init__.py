"""Read-only HTTP endpoints for other programs: the read API (docs/api.md), and the calendar feeds of hosts.

A route of the API states its query and its response as types (`schemas.py`), from which `openapi.py` generates the
document. Every route needs a token, unless `auth.OPEN_ENDPOINTS` names it.
"""

from runtime.process.python_check import check_python

check_python()
