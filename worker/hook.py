"""The platform's hook: `package.module:function`, called in the transaction that changes a booking."""

import importlib
from collections.abc import Callable

from sqlalchemy.orm import Session

from models.booking import Booking, BookingChange

Hook = Callable[[Session, Booking, BookingChange], None]


class HookExited(Exception):
    """The hook asked Python to exit. That is a failure of its delivery, not the end of our batch."""


class UnusableHook(ValueError):
    """PLATFORM_HOOK names nothing that can be called; the message says what."""


def load(path: str) -> Hook | None:
    """Finds the function that a setting names; None if it names none.

    Raises:
        UnusableHook: there is no such module, or nothing to call in it.
    """
    if not path:
        return None
    module_name, _, function_name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UnusableHook(f"PLATFORM_HOOK={path} cannot be imported: {error}") from error
    if not callable(function):
        raise UnusableHook(f"PLATFORM_HOOK={path} is not a function")
    return _contained(function)


def _contained(function: Hook) -> Hook:
    """The same function; `sys.exit()` in it ends nobody else's work."""

    def hook(session: Session, booking: Booking, change: BookingChange) -> None:
        try:
            function(session, booking, change)
        except SystemExit:
            raise HookExited from None

    return hook
