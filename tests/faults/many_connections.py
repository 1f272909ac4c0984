"""Many connections at once, and for comparison the usual few."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

from devtools.processes import ROOT
from tests.faults.context import FaultContext
from tests.faults.databases import Postgresql
from tests.faults.flood import START, FloodResult, body, booking_id
from tests.faults.scenarios import BookingScenario, ExpectedBooking, webinar
from tests.faults.sent_deliveries import LoadResponse
from tests.faults.slow_clients import HealthWatch

CHANGES_OF_A_WEBINAR, GUESTS_OF_A_WEBINAR = 220, 430
FLOOD_CONNECTIONS, FLOOD_LASTS = 200, timedelta(seconds=30)
SLOW_CLIENTS_LAST = timedelta(seconds=15)
"""Longer than the idle timeout, so that clients are dropped and reconnect."""
HEALTH_WITHIN = timedelta(seconds=1)
READYZ_ASKERS = 600
FEWEST = 100
"""Minimum number of honest deliveries for a p99."""


def flood(context: FaultContext) -> None:
    """Many connections at once, besides the usual ones."""
    words = [*context.load.where, str(FLOOD_CONNECTIONS), str(FLOOD_LASTS.total_seconds())]
    poured = subprocess.run(
        [sys.executable, "-m", "tests.faults.flood", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if poured.returncode:
        raise RuntimeError(poured.stderr[-2000:])
    flood_result = FloodResult(**json.loads(poured.stdout))
    for connection, kept in enumerate(flood_result.kept):
        bodies = tuple(body(connection, number) for number in range(kept))
        for each in bodies:
            context.sent_deliveries.record_accepted(each)
        context.scenarios.append(
            BookingScenario(booking_id(connection), bodies, ExpectedBooking("confirmed", START, 1))
        )
    context.sent_deliveries.answers.append(LoadResponse(200, flood_result.slowest))
    if flood_result.refused or not all(flood_result.kept):
        context.notes.append(
            f"the flood met {flood_result.refused}, and {flood_result.kept.count(0)} connections got no answer at all"
        )


def large_batch(context: FaultContext) -> None:
    """Many large pending bodies of one booking, received while the worker was stopped."""
    context.pause(1, 2)
    context.supervisor.signal("worker", signal.SIGSTOP)
    context.post_scenario(webinar("booking-webinar", CHANGES_OF_A_WEBINAR, GUESTS_OF_A_WEBINAR))
    context.supervisor.signal("worker", signal.SIGCONT)


def slow_clients(kind: str, count: int) -> Callable[[FaultContext], None]:
    """Many slow or silent clients, beside honest deliveries."""

    def come(context: FaultContext) -> None:
        _watch(context, kind, count)
        honest = sorted(answer.seconds for answer in context.sent_deliveries.answers if answer.status == 200)
        if len(honest) < FEWEST or honest[int(len(honest) * 0.99)] > HEALTH_WITHIN.total_seconds():
            context.notes.append(f"of {len(honest)} honest deliveries 99 % took up to {honest[-1:]} s")

    return come


def ask_beside_a_silent_database(context: FaultContext) -> None:
    """Many clients poll readiness while the database does not respond."""
    assert isinstance(context.store, Postgresql)
    context.store.cluster.freeze()
    try:
        _watch(context, "readyz", READYZ_ASKERS)
    finally:
        context.store.cluster.thaw()


def _watch(context: FaultContext, kind: str, count: int) -> None:
    words = [kind, *context.load.where, str(count), str(SLOW_CLIENTS_LAST.total_seconds())]
    watched = subprocess.run(
        [sys.executable, "-m", "tests.faults.slow_clients", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if watched.returncode:
        raise RuntimeError(watched.stderr[-2000:])
    seen = HealthWatch(**json.loads(watched.stdout))
    slow = {path: seconds for path, seconds in seen.slowest.items() if seconds > HEALTH_WITHIN.total_seconds()}
    if slow or seen.strange or len(seen.asked) < 2:
        context.notes.append(f"health was answered within {slow} s, {seen.asked} times, and {seen.strange}")
    if not seen.dropped:
        context.notes.append("none of the strangers was dropped")


def nothing(context: FaultContext) -> None:
    """No fault: shows the cost of the harness itself."""
    context.load.finish()
