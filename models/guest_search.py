"""SQL condition: a booking has a guest whose name, address or number contains a text."""

from typing import Any

from sqlalchemy import Boolean, func, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from models.booking import Booking

NAMES = ", ".join(f"'{name}'" for name in ("email", "name", "fullname", "firstname", "lastname", "phone"))
"""Keys of an attendee that say who it is, in lower case."""


class _HasGuest(FunctionElement[bool]):
    """Arguments: a column of attendees, and a pattern for LIKE in lower case with '/' as its escape character."""

    type = Boolean()
    inherit_cache = True


def has_guest(text: str) -> _HasGuest:
    """Return the condition for bookings with such a guest, in any case (SQLite: of ASCII letters)."""
    escaped = text.lower().replace("/", "//").replace("%", "/%").replace("_", "/_")
    return _HasGuest(Booking.attendees, literal(f"%{escaped}%"))


def lower_contains(column: Any, text: str) -> Any:
    """Return the condition that a column contains a text, in any case."""
    return func.lower(column).contains(text.lower(), autoescape=True)


@compiles(_HasGuest)
def _on_sqlite(element: _HasGuest, compiler: Any, **options: Any) -> str:
    attendees, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"json_tree(CASE WHEN json_valid({attendees}) THEN {attendees} ELSE '[]' END)"
    return (
        f"EXISTS (SELECT 1 FROM {source} AS detail"  # noqa: S608 - the values are bound parameters
        f" WHERE lower(detail.key) IN ({NAMES}) AND lower(detail.atom) LIKE {pattern} ESCAPE '/')"
    )


@compiles(_HasGuest, "postgresql")
def _on_postgresql(element: _HasGuest, compiler: Any, **options: Any) -> str:
    attendees, pattern = (compiler.process(clause, **options) for clause in element.clauses)
    source = f"jsonb_path_query(CAST({attendees} AS JSONB), '$[*].keyvalue()', '{{}}', true)"
    return (
        f"EXISTS (SELECT 1 FROM {source} AS detail"  # noqa: S608 - as above
        f" WHERE lower(detail->>'key') IN ({NAMES}) AND lower(detail->>'value') LIKE {pattern} ESCAPE '/')"
    )
