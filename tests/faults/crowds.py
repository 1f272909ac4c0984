"""Crowds: many connections at once, and for comparison the usual few."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

from devtools.processes import ROOT
from tests.faults.databases import Postgresql
from tests.faults.flood import START, Tide, body, booking_id
from tests.faults.ledger import Answer
from tests.faults.scene import Scene
from tests.faults.stories import Ending, Story, of_a_webinar
from tests.faults.strangers import Watch

CHANGES_OF_A_WEBINAR, GUESTS_OF_A_WEBINAR = 220, 430
FLOOD_CONNECTIONS, FLOOD_LASTS = 200, timedelta(seconds=30)
STRANGERS_LAST = timedelta(seconds=15)
"""Longer than anybody may be silent, so that they are dropped and come again."""
HEALTH_WITHIN = timedelta(seconds=1)
READYZ_ASKERS = 600
FEWEST = 100
"""Honest deliveries of which 99 % are not all."""


def flood(scene: Scene) -> None:
    """Many connections at once, besides the usual ones."""
    words = [*scene.load.where, str(FLOOD_CONNECTIONS), str(FLOOD_LASTS.total_seconds())]
    poured = subprocess.run(
        [sys.executable, "-m", "tests.faults.flood", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if poured.returncode:
        raise RuntimeError(poured.stderr[-2000:])
    tide = Tide(**json.loads(poured.stdout))
    for connection, kept in enumerate(tide.kept):
        bodies = tuple(body(connection, number) for number in range(kept))
        for each in bodies:
            scene.ledger.keep(each)
        scene.stories.append(Story(booking_id(connection), bodies, Ending("confirmed", START, 1)))
    scene.ledger.answers.append(Answer(200, tide.slowest))
    if tide.refused or not all(tide.kept):
        scene.notes.append(f"the flood met {tide.refused}, and {tide.kept.count(0)} connections got no answer at all")


def large_batch(scene: Scene) -> None:
    """Many large bodies of one booking that waited together, since the worker was not there for a while."""
    scene.pause(1, 2)
    scene.house.signal("worker", signal.SIGSTOP)
    scene.tell(of_a_webinar("booking-webinar", CHANGES_OF_A_WEBINAR, GUESTS_OF_A_WEBINAR))
    scene.house.signal("worker", signal.SIGCONT)


def strangers(kind: str, count: int) -> Callable[[Scene], None]:
    """Many who are slow or silent, beside honest deliveries."""

    def come(scene: Scene) -> None:
        _watch(scene, kind, count)
        honest = sorted(answer.seconds for answer in scene.ledger.answers if answer.status == 200)
        if len(honest) < FEWEST or honest[int(len(honest) * 0.99)] > HEALTH_WITHIN.total_seconds():
            scene.notes.append(f"of {len(honest)} honest deliveries 99 % took up to {honest[-1:]} s")

    return come


def ask_beside_a_silent_database(scene: Scene) -> None:
    """Many ask whether it is ready, and the database does not say."""
    assert isinstance(scene.store, Postgresql)
    scene.store.cluster.freeze()
    try:
        _watch(scene, "readyz", READYZ_ASKERS)
    finally:
        scene.store.cluster.thaw()


def _watch(scene: Scene, kind: str, count: int) -> None:
    words = [kind, *scene.load.where, str(count), str(STRANGERS_LAST.total_seconds())]
    watched = subprocess.run(
        [sys.executable, "-m", "tests.faults.strangers", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if watched.returncode:
        raise RuntimeError(watched.stderr[-2000:])
    seen = Watch(**json.loads(watched.stdout))
    slow = {path: seconds for path, seconds in seen.slowest.items() if seconds > HEALTH_WITHIN.total_seconds()}
    if slow or seen.strange or len(seen.asked) < 2:
        scene.notes.append(f"health was answered within {slow} s, {seen.asked} times, and {seen.strange}")
    if not seen.dropped:
        scene.notes.append("none of the strangers was dropped")


def nothing(scene: Scene) -> None:
    """So that we know what the harness itself costs."""
    scene.load.finish()
