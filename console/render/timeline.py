"""The render_timeline: happenings as lines, each with a sign and a colour. `bookings show` and `events tail` print it."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from console.render import changes
from console.render.text import SHORT, count, moment, printable, short
from models.happening import TimelineEntry
from operations.redact import masked, masked_text

SIGNS = {
    "received": ("→", "cyan"),
    "retrying": ("↻", "yellow"),
    "dead": ("✗", "bold red"),
    "done": ("✓", "green"),
    "owed": ("·", "dim"),
    "replayed": ("!", "magenta"),
    "ignored": ("!", "magenta"),
    "sent_again": ("!", "magenta"),
}
CHANGE = ("•", "bold blue")
KIND_WIDTH = len("• booking attendee left")
INDENT = len("2026-11-22 14:03:05")


def line(happening: TimelineEntry) -> Table:
    """One happening among those of all bookings: time, sign, what, whose, and what there is to say."""
    subject = happening.kind.partition(".")[0]
    about = short(happening.booking_id) if subject != "booking" and happening.booking_id else ""
    said = changes.line(happening.before, happening.after) if happening.after is not None else ""
    return _line(happening, short(getattr(happening, f"{subject}_id")), [happening.event or "", about, said])


def render_timeline(happenings: Sequence[TimelineEntry]) -> Iterator[RenderableType]:
    """All happenings of one booking; a change with its columns, before and after."""
    for happening in happenings:
        subject = happening.kind.partition(".")[0]
        if happening.after is None:
            yield _line(happening, short(getattr(happening, f"{subject}_id")), [happening.event or ""])
        else:
            yield _line(happening, "", [f"by {short(happening.delivery_id)}" if happening.delivery_id else ""])
            yield Padding(changes.table(masked(happening.before), masked(happening.after)), (0, 0, 0, INDENT))


def _line(happening: TimelineEntry, identifier: str, first: Sequence[str]) -> Table:
    """What is too long goes on below its beginning."""
    subject, _, what = happening.kind.partition(".")
    sign, style = SIGNS.get(what, CHANGE)
    kind = f"{sign} {subject} {what.replace('_', ' ')}".ljust(KIND_WIDTH)
    said = [printable(words) for words in (*first, *_details(happening)) if words]
    rest = "  ".join([identifier.ljust(SHORT), *said]).rstrip()
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(moment(happening.at), "dim"), Text(kind, style), Text(rest))
    return table


def _details(happening: TimelineEntry) -> Iterator[str]:
    if happening.news:
        to = f" to {happening.recipient}" if happening.recipient != happening.channel else ""
        yield f"{happening.news.replace('_', ' ')} by {happening.channel}{to}"
    if happening.by:
        yield f"by {happening.by}" + (f": {happening.reason}" if happening.reason else "")
    if happening.error is not None:
        yield f"try {happening.attempts}: {masked_text(happening.error)}"
    elif happening.attempts:
        yield f"after {count(happening.attempts, 'failed try', 'failed tries')}"
    yield happening.note or ""
