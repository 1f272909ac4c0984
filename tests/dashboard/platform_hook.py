"""The platform's hook of the incident: broken, until somebody mends it."""

from typing import Any

IS_BROKEN = [True]


def changed(_session: Any, booking: Any, _change: Any) -> None:
    if IS_BROKEN[0]:
        {}["mandate_id"]
