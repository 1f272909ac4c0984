"""Channels that misbehave for a while."""

from collections.abc import Callable
from functools import partial

from tests.faults.outages import LONG
from tests.faults.scene import Scene
from tests.faults.sinks import Mood


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
