"""Render timeline entries as lines with a symbol and a colour, for `bookings show` and `events tail`."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.render import changes
from models.timeline import TimelineEntry
from operations.redact import redact, redact_text
from operations.text import SHORT_ID_LENGTH, count, moment, printable, short

SYMBOLS = {
    "received": ("→", "cyan"),
    "retrying": ("↻", "yellow"),
    "dead": ("✗", "bold red"),
    "done": ("✓", "green"),
    "owed": ("·", "dim"),
    "replayed": ("!", "magenta"),
    "ignored": ("!", "magenta"),
    "sent_again": ("!", "magenta"),
    "forgotten": ("!", "magenta"),
}
LABELS = {"owed": "pending", "forgotten": "host forgotten"}
CHANGE_SYMBOL = ("•", "bold blue")
KIND_WIDTH = len("• booking attendee left")
INDENT = len("2026-11-22 14:03:05")


def line(entry: TimelineEntry) -> Table:
    """Render one entry among those of all bookings: time, symbol, event, booking and details."""
    subject = entry.kind.partition(".")[0]
    about = short(entry.booking_id) if subject != "booking" and entry.booking_id else ""
    change = changes.line(entry.before, entry.after) if entry.after is not None else ""
    return _line(entry, short(getattr(entry, f"{subject}_id", None)), [entry.event or "", about, change])


def render_timeline(entries: Sequence[TimelineEntry]) -> Iterator[RenderableType]:
    """Render all entries of one booking; a change with its columns, before and after."""
    for entry in entries:
        subject = entry.kind.partition(".")[0]
        if entry.after is None:
            yield _line(entry, short(getattr(entry, f"{subject}_id", None)), [entry.event or ""])
        else:
            yield _line(entry, "", [f"by {short(entry.delivery_id)}" if entry.delivery_id else ""])
            yield Padding(changes.table(redact(entry.before), redact(entry.after)), (0, 0, 0, INDENT))


def _line(entry: TimelineEntry, identifier: str, first: Sequence[str]) -> Table:
    """Render one line; overlong details continue below."""
    subject, _, what = entry.kind.partition(".")
    symbol, style = SYMBOLS.get(what, CHANGE_SYMBOL)
    what = LABELS.get(what, what.replace("_", " "))
    kind = f"{symbol} {subject} {what}".ljust(KIND_WIDTH)
    texts = [printable(words) for words in (*first, *_details(entry)) if words]
    rest = "  ".join([identifier.ljust(SHORT_ID_LENGTH), *texts]).rstrip()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(moment(entry.at), "dim"), Text(kind, style), Text(rest))
    return table


def _details(entry: TimelineEntry) -> Iterator[str]:
    if entry.news:
        to = f" to {entry.recipient}" if entry.recipient != entry.channel else ""
        yield f"{entry.news.replace('_', ' ')} by {entry.channel}{to}"
    if entry.by:
        yield f"by {entry.by}" + (f": {entry.reason}" if entry.reason else "")
    if entry.error is not None:
        yield f"try {entry.attempts}: {redact_text(entry.error)}"
    elif entry.attempts:
        yield f"after {count(entry.attempts, 'failed attempt', 'failed attempts')}"
    yield entry.note or ""
