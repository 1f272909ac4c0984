"""Concerns: what needs a person, and the command that helps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.cli.errors import MIGRATE, first_line, sentence
from console.render.text import count, duration, printable
from models.stats import CLOCK_TOLERANCE, Stats, lacks_tables
from operations.status import StatusSnapshot
from runtime.queue import QUEUES, QueueName
from runtime.redis.heartbeat import DEATHS_COUNT_FOR
from worker.scheduler import SCHEDULE

NOUNS: dict[QueueName, tuple[str, str]] = {
    "inbox": ("delivery", "deliveries"),
    "outbox": ("notification", "notifications"),
}
KEY_WARNING = timedelta(days=14)
NEW_KEY = "make another, and set MEETERGO_API_KEY_EXPIRES to its last day"


@dataclass(frozen=True)
class Finding:
    """One thing that needs a person.

    Attributes:
        what: a sentence.
        command: what to type, or to do; None where the sentence says it.
    """

    what: str
    command: str | None = None


def concerns(look: StatusSnapshot) -> list[Finding]:
    """All of them, the worst first."""
    seen = look.seen
    return [
        *_of_stores(seen, look.lacks_tables),
        *_of_redis_only(seen),
        *_of_processes(seen),
        *_of_failures(seen),
        *_of_rows(seen, look.longest_wait),
        *_of_clocks(seen),
        *_of_reconciling(seen),
        *_of_the_key(look.key_days_left),
    ]


def _of_stores(seen: Stats, is_bare: bool) -> Iterator[Finding]:
    if is_bare:
        yield Finding("the database does not have the tables of this version", MIGRATE)
    yield from (Finding(sentence(fault)) for fault in seen.faults if not lacks_tables(fault))
    if seen.write_fault and not lacks_tables(seen.write_fault):
        reason = first_line(seen.write_fault)
        yield Finding(f"the database answers, but cannot be written: {reason}. Webhooks are kept in Redis until it can")


def _of_redis_only(seen: Stats) -> Iterator[Finding]:
    held = seen.redis_only
    if held and held.count:
        are = "is" if held.count == 1 else "are"
        since = f", the oldest for {duration(seen.at - held.oldest)}" if held.oldest else ""
        yield Finding(
            f"{count(held.count, 'webhook', 'webhooks')} {are} in Redis only{since}: do not restart or empty it"
        )
    for queue, resting in seen.left_behind.items():
        yield Finding(
            f"{count(resting, 'webhook rests', 'webhooks rest')} in the queue {queue}, and no worker works at it"
            " (an older version's, or of another REDIS_PREFIX): if it is this platform's, take them",
            f"python -m console adopt-queue {queue}",
        )


def _of_processes(seen: Stats) -> Iterator[Finding]:
    if seen.jobs is None:
        return
    alone = [box for box in QUEUES if not seen.jobs[box].workers]
    if alone:
        yield Finding(f"no worker works at the {' and the '.join(alone)}", "python -m worker")
    for box in QUEUES:
        if seen.deaths.get(box):
            died = count(seen.deaths[box], "time", "times")
            yield Finding(
                f"workers of the {box} died {died} in the last {duration(DEATHS_COUNT_FOR)} (their log says how)",
                f"python -m console {NOUNS[box][1]} list --status dead",
            )
    stopped = [task for task in SCHEDULE if task not in seen.next_runs]
    if "sweep" in stopped:
        yield Finding("the schedule does not run", "python -m worker.scheduler")
    elif stopped:
        yield Finding(f"the schedule does not get through with: {', '.join(stopped)} (its log says why)")


def _of_failures(seen: Stats) -> Iterator[Finding]:
    failing = seen.failing
    if failing.rows:
        what = f"{count(failing.rows, 'delivery fails', 'deliveries fail')} again and again"
        yield Finding(f"{what} ({printable(failing.in_words())})", "python -m console deliveries errors")
    if "processing_stuck" in seen.incidents:
        since = duration(seen.at - seen.incidents["processing_stuck"])
        yield Finding(
            f"a drain ended without an outcome, {since} ago (the worker's log says more)",
            "python -m console deliveries list --status pending",
        )


def _of_rows(seen: Stats, longest_wait: timedelta) -> Iterator[Finding]:
    for box in QUEUES if seen.rows else ():
        rows, (singular, plural) = (seen.rows or {})[box], NOUNS[box]
        if rows.dead:
            dead = f"{count(rows.dead, singular, plural)} {'is' if rows.dead == 1 else 'are'} dead"
            yield Finding(dead, f"python -m console {plural} list --status dead")
        if _waited_longer(rows.oldest_waiting, seen.at, longest_wait):
            waited = duration(seen.at - (rows.oldest_waiting or seen.at))
            what = f"{count(rows.waiting, singular, plural)} waiting, the oldest for {waited}"
            yield Finding(what, f"python -m console {plural} list --status pending")


def _of_clocks(seen: Stats) -> Iterator[Finding]:
    if seen.from_future:
        yield Finding(
            f"{count(seen.from_future, 'delivery says it was', 'deliveries say they were')} received in the future: "
            "set the clock of the receiver's machine"
        )
    if abs(seen.clock_lead) > CLOCK_TOLERANCE:
        side = "ahead of" if seen.clock_lead > timedelta(0) else "behind"
        yield Finding(f"this machine's clock is {duration(abs(seen.clock_lead))} {side} the database's: set it")


def _of_reconciling(seen: Stats) -> Iterator[Finding]:
    error = seen.reconciled and seen.reconciled.error(seen.at)
    if error:
        yield Finding(
            f"reconcile does not read everything: {printable(error)}", "python -m console reconcile --dry-run"
        )


def _waited_longer(since: datetime | None, now: datetime, longest: timedelta) -> bool:
    return since is not None and now - since > longest


def _of_the_key(days_left: int | None) -> Iterator[Finding]:
    if days_left is None or days_left > KEY_WARNING.days:
        return
    soon = f"ends in {count(days_left, 'day', 'days')}" if days_left else "ends today"
    yield Finding(f"the API key of meetergo {soon if days_left >= 0 else 'has ended'}", NEW_KEY)
