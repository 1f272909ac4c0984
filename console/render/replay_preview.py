"""The preview: an outlook as a person reads it, and as a program does."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from console.render import changes
from console.render.text import count, safe, short
from operations.redact import masked, masked_text
from operations.replay.report import BookingDiff, DeliveryOutcome, DryRunReport, NotificationPreview

IN_DETAIL = 10
IN_FULL = 3
"""Up to so many bookings are shown with all of their columns, more in a line each, with what tells most of them."""
TELLING = ("status", "starts_at", "meeting_name")
ERRORS_SHOWN = 8
ID_SHOWN = 8
NOTHING_NEW = "what it says is known already"


def show(console: Console, outlook: DryRunReport) -> None:
    """Prints the first bookings, then, where it is seen last, the totals and why some would fail again."""
    effects = {effect.booking_id: effect for effect in outlook.effects}
    bookings = list(dict.fromkeys([*effects, *(told.booking_id for told in outlook.news)]))
    if len(bookings) <= IN_FULL:
        for booking_id in bookings:
            console.print(_title(booking_id, effects.get(booking_id), outlook.verdicts))
            console.print(_detail(effects.get(booking_id), _of(booking_id, outlook.news)))
    else:
        console.print(_lines(bookings[:IN_DETAIL], effects, outlook))
    if len(bookings) > IN_DETAIL:
        console.print(f"... and {count(len(bookings) - IN_DETAIL, 'more booking')}: --json shows all.")
    if bookings:
        console.print()
    console.print(f"If {count(len(outlook.verdicts), 'delivery is', 'deliveries are')} replayed now (times are UTC):")
    console.print(_totals(outlook))


def as_json(outlook: DryRunReport) -> dict[str, Any]:
    """Everything, with times in ISO 8601."""
    return {
        "deliveries": [_verdict(verdict) for verdict in outlook.verdicts],
        "bookings": [masked(asdict(effect)) for effect in outlook.effects],
        "notifications": [asdict(told) for told in outlook.news],
    }


def _totals(outlook: DryRunReport) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=5)
    table.add_column(overflow="fold")
    done = [verdict for verdict in outlook.verdicts if verdict.status == "done"]
    changing = sum(verdict.changes for verdict in done)
    if changing:
        table.add_row(str(changing), "[green]done[/], and a booking changes")
    for note, number in Counter(verdict.note for verdict in done if not verdict.changes).most_common():
        table.add_row(str(number), f"[green]done[/], and nothing changes: {safe(note or NOTHING_NEW)}")
    for row in _failing([verdict for verdict in outlook.verdicts if verdict.status != "done"]):
        table.add_row(*row)
    for (kind, channel, again), number in Counter((n.kind, n.channel, n.again) for n in outlook.news).most_common():
        word = "notification" if number == 1 else "notifications"
        table.add_row(str(number), f"{word} '{kind}' by {safe(channel)}{_again(again)}")
    if not outlook.news:
        table.add_row("0", "notifications")
    return table


def _failing(verdicts: Sequence[DeliveryOutcome]) -> Iterator[tuple[str, str]]:
    """Each error with its number, and the first delivery that has it."""
    ways: dict[tuple[str, str], list[DeliveryOutcome]] = {}
    for verdict in verdicts:
        ways.setdefault((verdict.status, verdict.error or ""), []).append(verdict)
    by_number = sorted(ways.items(), key=lambda way: -len(way[1]))
    for (status, error), alike in by_number[:ERRORS_SHOWN]:
        end = "[red]dead again[/]" if status == "dead" else "[yellow]failing[/], and tried again later"
        which = alike[0].delivery.id[:ID_SHOWN]
        yield str(len(alike)), f"{end}: {safe(masked_text(error))} ({which}{', ...' if len(alike) > 1 else ''})"
    others = sum(len(alike) for _, alike in by_number[ERRORS_SHOWN:])
    if others:
        yield str(others), "failing for other reasons: --json shows all"


def _title(booking_id: str, effect: BookingDiff | None, verdicts: Sequence[DeliveryOutcome]) -> str:
    number = sum(verdict.delivery.booking_id == booking_id for verdict in verdicts)
    marks = ["new"] if effect and effect.is_new else []
    marks += [f"{number} deliveries"] if number > 1 else []
    aside = f" ({', '.join(marks)})" if marks else ""
    return f"[bold]{safe(booking_id)}[/]{aside}"


def _detail(effect: BookingDiff | None, news: Sequence[NotificationPreview]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=20)
    table.add_column(overflow="fold")
    for name, change in _changes(effect) if effect else ():
        table.add_row(f"  {name}", change)
    for kind, ways in _told(news).items():
        table.add_row("  tells", f"{kind}: {', '.join(ways)}")
    return table


def _changes(effect: BookingDiff) -> Iterator[tuple[str, str]]:
    for name, after in effect.after.items():
        if not effect.is_new:
            pair = changes.pair(name, masked(effect.before[name]), masked(after))
            yield name, " -> ".join(map(escape, pair))
        elif after not in (None, "", [], {}):
            yield name, escape(changes.column(name, masked(after)))


def _lines(bookings: Sequence[str], effects: Mapping[str, BookingDiff], outlook: DryRunReport) -> Table:
    """One booking a line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for folds in (False, False, True, True):
        table.add_column(no_wrap=not folds, overflow="fold")
    table.add_row("[dim]booking", "", "[dim]would be", "[dim]tells")
    for booking_id in bookings:
        effect, news = effects.get(booking_id), _told(_of(booking_id, outlook.news))
        is_new = "new" if effect and effect.is_new else ""
        would_be = escape(_in_a_line(effect)) if effect else "stays as it is"
        table.add_row(f"[bold]{escape(short(booking_id))}[/]", is_new, would_be, ", ".join(news) or "nobody")
    return table


def _in_a_line(effect: BookingDiff) -> str:
    if effect.is_new:
        known = {name: changes.column(name, masked(effect.after[name])) for name in TELLING if effect.after.get(name)}
        return ", ".join(words.removesuffix(":00") if name == "starts_at" else words for name, words in known.items())
    follows = {"ends_at"} if "starts_at" in effect.after else set()
    return changes.line(
        masked(effect.before), {name: masked(after) for name, after in effect.after.items() if name not in follows}
    )


def _of(booking_id: str, news: Sequence[NotificationPreview]) -> list[NotificationPreview]:
    return [told for told in news if told.booking_id == booking_id]


def _told(news: Sequence[NotificationPreview]) -> Mapping[str, list[str]]:
    told: dict[str, list[str]] = {}
    for each in news:
        way = each.channel if each.recipient == each.channel else f"{each.channel} to {each.recipient}"
        told.setdefault(each.kind, []).append(safe(way) + _again(each.again))
    return told


def _again(again: bool) -> str:
    return " (once more)" if again else ""


def _verdict(verdict: DeliveryOutcome) -> dict[str, Any]:
    chosen = verdict.delivery
    return {
        "id": chosen.id,
        "event": chosen.event,
        "booking_id": chosen.booking_id or None,
        "received_at": chosen.received_at.isoformat(),
        "status": verdict.status,
        "error": verdict.error and masked_text(verdict.error),
        "note": verdict.note,
        "changes": verdict.changes,
    }
