"""Captured bodies: one JSON per event and form under `tests/fixtures/`, named after both."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"
NESTED_KEYS = ("data", "rescheduledAppointment")


def payload(name: str, **changes: Any) -> bytes:
    """Return a captured body with other values in its innermost object; `...` removes a field."""
    document = json.loads((FIXTURES / f"{name}.json").read_bytes())
    inner = document
    for key in NESTED_KEYS:
        inner = inner.get(key, inner)
    for field, value in changes.items():
        inner.pop(field, None) if value is ... else inner.update({field: value})
    return json.dumps(document).encode()
