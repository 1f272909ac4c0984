"""What is logged of an unhandled exception: where it was raised, and not its message."""

import traceback

import structlog

log = structlog.get_logger()


def log_unhandled_exception(error: BaseException) -> None:
    """Logs where it broke, and not what it said: that could hold the secret address, or a body."""
    traceback_text = "".join(traceback.format_tb(error.__traceback__))
    log.error("request.failed", error=type(error).__name__, traceback=traceback_text)
