"""A span for each SQL statement within another span, without its parameters and without literals."""

import re
from collections.abc import Callable
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, get_current_span
from sqlalchemy import Engine, TextClause, event
from sqlalchemy.engine import ExceptionContext

from runtime.database import TABLE_OPTION

OPERATION = re.compile(r"\s*([A-Za-z]{1,20})\b")
TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|JOIN)\s+([\w.\"]{1,100})")
LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d[\w.]*\b")
SPAN = "_meetergo_inbox_span"
_tracer: Tracer | None = None


def listen(tracer: Tracer) -> None:
    """Start making spans of the statements of all engines in this process."""
    global _tracer
    if _tracer is None:
        for name, listener in LISTENERS.items():
            event.listen(Engine, name, listener)
    _tracer = tracer


def ignore() -> None:
    """Stop making spans."""
    global _tracer
    if _tracer is not None:
        for name, listener in LISTENERS.items():
            event.remove(Engine, name, listener)
    _tracer = None


def _begin(connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    """Start a span within another one. Without one, as when an idle worker polls, there is no trace."""
    if _tracer is None or context is None or not get_current_span().is_recording():
        return
    name, attributes = describe(statement, context.compiled, context.execution_options.get(TABLE_OPTION))
    attributes["db.system.name"] = connection.dialect.name
    setattr(context, SPAN, _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes))


def _end(_connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool) -> None:
    span: Span | None = getattr(context, SPAN, None)
    if span:
        span.end()


def _fail(failure: ExceptionContext) -> None:
    span: Span | None = getattr(failure.execution_context, SPAN, None)
    if span:
        span.set_attribute("error.type", type(failure.original_exception).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()


LISTENERS: dict[str, Callable[..., None]] = {
    "before_cursor_execute": _begin,
    "after_cursor_execute": _end,
    "handle_error": _fail,
}


def describe(statement: str, compiled: Any, table_name: str | None = None) -> tuple[str, dict[str, str]]:
    """Return a statement's name and attributes.

    Of SQL written as text, such as a hook's, only the operation is recorded: the text may hold personal data. Of ours,
    the table is recorded too.

    Args:
        statement: the SQL.
        compiled: SQLAlchemy's compiled statement; None for SQL that was passed as a string.
        table_name: the table that it changes, if its execution options say so.
    """
    found = OPERATION.match(statement)
    operation = found[1].upper() if found else "SQL"
    if compiled is None or isinstance(compiled.statement, TextClause):
        named = {"db.collection.name": table_name} if table_name else {}
        return f"{operation} {table_name or ''}".strip(), {"db.operation.name": operation, **named}
    text = LITERAL.sub("?", " ".join(statement.split()))
    table = TABLE.search(text)
    collection = table[1].replace('"', "").rpartition(".")[2] if table else ""
    attributes = {"db.operation.name": operation, "db.query.text": text}
    return f"{operation} {collection}".strip(), attributes | ({"db.collection.name": collection} if collection else {})
