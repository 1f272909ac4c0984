"""Captured bodies: one JSON per event and shape under `tests/fixtures/`, named after both."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures"
NESTS = ("data", "rescheduledAppointment")


def payload(name: str, **changes: Any) -> bytes:
    """A captured body, with other values in its innermost object; `...` takes a field away."""
    whole = json.loads((FIXTURES / f"{name}.json").read_bytes())
    inner = whole
    for nest in NESTS:
        inner = inner.get(nest, inner)
    for field, value in changes.items():
        inner.pop(field, None) if value is ... else inner.update({field: value})
    return json.dumps(whole).encode()
