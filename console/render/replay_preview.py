"""Render the report of a dry run for people and for scripts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from console.render import changes
from operations.redact import redact, redact_text
from operations.replay.report import BookingDiff, DeliveryOutcome, DryRunReport, NotificationPreview
from operations.text import count, escape_markup, short

MAX_LISTED = 10
MAX_DETAILED = 3
"""Maximum number of bookings shown with all columns; more are shown in one line each, by SUMMARY_COLUMNS."""
SUMMARY_COLUMNS = ("status", "starts_at", "meeting_name")
MAX_ERRORS = 8
ID_LENGTH = 8
ALREADY_KNOWN = "its content is already known"


def show(console: Console, report: DryRunReport) -> None:
    """Print the first bookings, then, last and thus visible, the totals and the reasons of failures."""
    booking_diffs = {diff.booking_id: diff for diff in report.booking_diffs}
    bookings = list(
        dict.fromkeys([*booking_diffs, *(notification.booking_id for notification in report.notifications)])
    )
    if len(bookings) <= MAX_DETAILED:
        for booking_id in bookings:
            console.print(_title(booking_id, booking_diffs.get(booking_id), report.outcomes))
            console.print(_detail(booking_diffs.get(booking_id), _notifications_of(booking_id, report.notifications)))
    else:
        console.print(_lines(bookings[:MAX_LISTED], booking_diffs, report))
    if len(bookings) > MAX_LISTED:
        console.print(f"... and {count(len(bookings) - MAX_LISTED, 'more booking')}: --json shows all.")
    if bookings:
        console.print()
    console.print(f"If {count(len(report.outcomes), 'delivery is', 'deliveries are')} replayed now (times are UTC):")
    console.print(_totals(report))


def as_json(report: DryRunReport) -> dict[str, Any]:
    """The complete report as JSON, with times in ISO 8601."""
    return {
        "deliveries": [_outcome_to_json(outcome) for outcome in report.outcomes],
        "bookings": [redact(asdict(diff)) for diff in report.booking_diffs],
        "notifications": [asdict(notification) for notification in report.notifications],
    }


def _totals(report: DryRunReport) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", min_width=5)
    table.add_column(overflow="fold")
    done = [outcome for outcome in report.outcomes if outcome.status == "done"]
    changing = sum(outcome.changes for outcome in done)
    if changing:
        table.add_row(str(changing), "[green]done[/], and a booking changes")
    for note, number in Counter(outcome.note for outcome in done if not outcome.changes).most_common():
        table.add_row(str(number), f"[green]done[/], and nothing changes: {escape_markup(note or ALREADY_KNOWN)}")
    for row in _failing([outcome for outcome in report.outcomes if outcome.status != "done"]):
        table.add_row(*row)
    for (kind, channel, again), number in Counter(
        (n.kind, n.channel, n.again) for n in report.notifications
    ).most_common():
        word = "notification" if number == 1 else "notifications"
        table.add_row(str(number), f"{word} '{kind}' by {escape_markup(channel)}{_resent_suffix(again)}")
    if not report.notifications:
        table.add_row("0", "notifications")
    return table


def _failing(outcomes: Sequence[DeliveryOutcome]) -> Iterator[tuple[str, str]]:
    """Yield each error with its count and the first delivery that has it."""
    ways: dict[tuple[str, str], list[DeliveryOutcome]] = {}
    for outcome in outcomes:
        ways.setdefault((outcome.status, outcome.error or ""), []).append(outcome)
    by_number = sorted(ways.items(), key=lambda way: -len(way[1]))
    for (status, error), group in by_number[:MAX_ERRORS]:
        end = "[red]dead again[/]" if status == "dead" else "[yellow]failing[/], and retried later"
        example = group[0].delivery.id[:ID_LENGTH]
        yield (
            str(len(group)),
            f"{end}: {escape_markup(redact_text(error))} ({example}{', ...' if len(group) > 1 else ''})",
        )
    others = sum(len(group) for _, group in by_number[MAX_ERRORS:])
    if others:
        yield str(others), "failing for other reasons: --json shows all"


def _title(booking_id: str, diff: BookingDiff | None, outcomes: Sequence[DeliveryOutcome]) -> str:
    number = sum(outcome.delivery.booking_id == booking_id for outcome in outcomes)
    marks = ["new"] if diff and diff.is_new else []
    marks += [f"{number} deliveries"] if number > 1 else []
    aside = f" ({', '.join(marks)})" if marks else ""
    return f"[bold]{escape_markup(booking_id)}[/]{aside}"


def _detail(diff: BookingDiff | None, notifications: Sequence[NotificationPreview]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(min_width=20)
    table.add_column(overflow="fold")
    for name, change in _changes(diff) if diff else ():
        table.add_row(f"  {name}", change)
    for kind, ways in _channels_by_kind(notifications).items():
        table.add_row("  notifies", f"{kind}: {', '.join(ways)}")
    return table


def _changes(diff: BookingDiff) -> Iterator[tuple[str, str]]:
    for name, after in diff.after.items():
        if not diff.is_new:
            pair = changes.pair(name, redact(diff.before[name]), redact(after))
            yield name, " -> ".join(map(escape, pair))
        elif after not in (None, "", [], {}):
            yield name, escape(changes.column(name, redact(after)))


def _lines(bookings: Sequence[str], booking_diffs: Mapping[str, BookingDiff], report: DryRunReport) -> Table:
    """Render one booking per line."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for wraps in (False, False, True, True):
        table.add_column(no_wrap=not wraps, overflow="fold")
    table.add_row("[dim]booking", "", "[dim]would be", "[dim]notifies")
    for booking_id in bookings:
        diff = booking_diffs.get(booking_id)
        notifications = _channels_by_kind(_notifications_of(booking_id, report.notifications))
        is_new = "new" if diff and diff.is_new else ""
        would_be = escape(_one_line(diff)) if diff else "stays as it is"
        table.add_row(f"[bold]{escape(short(booking_id))}[/]", is_new, would_be, ", ".join(notifications) or "nobody")
    return table


def _one_line(diff: BookingDiff) -> str:
    if diff.is_new:
        known = {
            name: changes.column(name, redact(diff.after[name])) for name in SUMMARY_COLUMNS if diff.after.get(name)
        }
        return ", ".join(words.removesuffix(":00") if name == "starts_at" else words for name, words in known.items())
    follows = {"ends_at"} if "starts_at" in diff.after else set()
    return changes.line(
        redact(diff.before), {name: redact(after) for name, after in diff.after.items() if name not in follows}
    )


def _notifications_of(booking_id: str, notifications: Sequence[NotificationPreview]) -> list[NotificationPreview]:
    return [notification for notification in notifications if notification.booking_id == booking_id]


def _channels_by_kind(notifications: Sequence[NotificationPreview]) -> Mapping[str, list[str]]:
    channels: dict[str, list[str]] = {}
    for each in notifications:
        way = each.channel if each.recipient == each.channel else f"{each.channel} to {each.recipient}"
        channels.setdefault(each.kind, []).append(escape_markup(way) + _resent_suffix(each.again))
    return channels


def _resent_suffix(again: bool) -> str:
    return " (once more)" if again else ""


def _outcome_to_json(outcome: DeliveryOutcome) -> dict[str, Any]:
    delivery = outcome.delivery
    return {
        "id": delivery.id,
        "event": delivery.event,
        "booking_id": delivery.booking_id or None,
        "received_at": delivery.received_at.isoformat(),
        "status": outcome.status,
        "error": outcome.error and redact_text(outcome.error),
        "note": outcome.note,
        "changes": outcome.changes,
    }
