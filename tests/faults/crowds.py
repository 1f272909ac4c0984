"""Crowds: many connections at once, and for comparison the usual few."""

import json
import signal
import subprocess
import sys
from datetime import timedelta

from console.stage import ROOT
from tests.faults.flood import START, Tide, body, booking_id
from tests.faults.ledger import Answer
from tests.faults.scene import Scene
from tests.faults.stories import Ending, Story, of_a_webinar

CHANGES_OF_A_WEBINAR, GUESTS_OF_A_WEBINAR = 220, 430
FLOOD_CONNECTIONS, FLOOD_LASTS = 200, timedelta(seconds=30)


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


def nothing(scene: Scene) -> None:
    """So that we know what the harness itself costs."""
    scene.load.finish()
