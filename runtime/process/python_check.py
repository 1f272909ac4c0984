"""Check at start that this Python has our requirements. Imports nothing that may be missing."""

import sys
from importlib.util import find_spec

MIN_PYTHON = (3, 11)
REQUIRED = ("cryptography", "psycopg", "pydantic_settings", "redis", "rq", "sqlalchemy", "structlog")
"""A Python that has these has the rest, since they are installed together."""


def check_python(*more: str) -> None:
    """Exit with a message if this Python is too old or lacks a required library.

    Args:
        more: further required libraries.
    """
    missing = [name for name in (*REQUIRED, *more) if find_spec(name) is None]
    if missing or sys.version_info < MIN_PYTHON:
        what = f"{missing[0]} is not installed" if missing else "it is older than 3.11"
        print(
            f"{sys.executable} cannot run this: {what}. Run `make install`, and use bin/inbox or .venv/bin/python "
            "(or: source .venv/bin/activate).",
            file=sys.stderr,
        )
        raise SystemExit(2)
