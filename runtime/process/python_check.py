"""Check at start that this Python has our requirements. Imports nothing that may be missing, before that."""

import sys
from importlib import import_module
from importlib.util import find_spec

from runtime.process.light_imports import import_without
from runtime.process.standard_streams import open_standard_streams

MIN_PYTHON = (3, 11)
REQUIRED = ("cryptography", "psycopg", "pydantic", "redis", "rq", "sqlalchemy", "structlog")
"""A Python that has these has the rest, since they are installed together."""


def check_python(*more: str) -> None:
    """Exit with a message if this Python is too old or lacks a required library. Opens closed standard streams first.

    structlog is imported here without rich, before anyone imports both: that takes 0.1 s, and 5 MB of each process.
    redis-py, too, is to be imported without OpenTelemetry, which only metrics of its own need.

    Args:
        more: further required libraries.
    """
    open_standard_streams()
    missing = [name for name in (*REQUIRED, *more) if find_spec(name) is None]
    if missing or sys.version_info < MIN_PYTHON:
        what = f"{missing[0]} is not installed" if missing else "it is older than 3.11"
        print(
            f"{sys.executable} cannot run this: {what}. Run `make install`, and use bin/inbox or .venv/bin/python "
            "(or: source .venv/bin/activate).",
            file=sys.stderr,
        )
        raise SystemExit(2)
    import_without("structlog", "rich")
    import_without("redis", "opentelemetry")
    import_module("structlog")
