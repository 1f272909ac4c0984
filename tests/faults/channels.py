"""Channels that misbehave for a while."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from tests.faults.death import DEADLY_NEWS
from tests.faults.outages import LONG
from tests.faults.scene import Scene
from tests.faults.sinks import Mood
from tests.faults.stories import one_more

SOON_SECONDS = 10
"""The promise for news of others while one channel hangs."""
STOPS_WITHIN_SECONDS = 15
DEADLY = 2


def channel_is(mood: Mood) -> Callable[[Scene], None]:
    """The sink of the news misbehaves for a while."""
    return partial(_misbehave, mood)


def _misbehave(mood: Mood, scene: Scene) -> None:
    scene.pause(1, 2)
    for sink in (scene.platform, scene.post_office):
        sink.be(mood)
    scene.pause(*LONG)
    for sink in (scene.platform, scene.post_office):
        sink.be("well")


def one_hangs_beside(scene: Scene) -> None:
    """The platform hangs; the letters of the same bookings, and of new ones, go out all the same."""
    scene.pause(1, 2)
    scene.platform.be("hangs")
    scene.load.finish()
    scene.until(partial(_letters_rest, scene), "the letters never came to rest")
    for _ in range(4):
        scene.pause(3, 6)
        before, began = scene.letters(), time.monotonic()
        scene.tell_one_more()
        scene.until(lambda known=before: scene.letters() > known, "a letter never came")
        took = time.monotonic() - began
        if took > SOON_SECONDS:
            scene.notes.append(f"a letter took {took:.0f} s while the platform hung")
    scene.platform.be("well")


def stop_while_it_hangs(scene: Scene) -> None:
    """The worker is asked to stop while the platform does not answer; its supervisor starts it again."""
    scene.pause(1, 2)
    for _ in range(2):
        scene.platform.be("hangs")
        scene.tell_one_more()
        scene.pause(3, 6)
        old, began = scene.house.main("worker"), time.monotonic()
        os.kill(old, signal.SIGTERM)
        scene.until(lambda known=old: scene.house.main("worker") != known, "the worker never stopped")
        took = time.monotonic() - began
        if took > STOPS_WITHIN_SECONDS:
            scene.notes.append(f"the worker took {took:.0f} s to stop")
        scene.platform.be("well")
        scene.pause(1, 2)


def _letters_rest(scene: Scene) -> bool:
    before = scene.letters()
    time.sleep(2)
    return scene.letters() == before > 0


def deliver_deadly_news(scene: Scene) -> None:
    """Under load, and two at once: news that ends each worker that sends it."""
    for number in range(DEADLY):
        scene.pause(0.5, 1.5)
        scene.load.post(one_more(f"{DEADLY_NEWS}-{number}").bodies[0])
