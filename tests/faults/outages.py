"""Outages: stores that are away, silent, full or emptied for a while."""

import signal
import time

from receiver.ringer import MIN_INTERVAL as RING_REST
from tests.faults.databases import Postgresql, Sqlite
from tests.faults.scene import Scene

SHORT, LONG = (4.0, 6.0), (6.0, 8.0)
"""How long something is away, in seconds."""
LAST_DELIVERIES = 5


def kill_redis(scene: Scene) -> None:
    """Twice; it comes back with its append-only file."""
    for _ in range(2):
        scene.pause(1, 2)
        scene.redis.kill()
        scene.pause(1, 4)
        scene.redis.start()


def empty_redis(scene: Scene) -> None:
    """At any instant."""
    for _ in range(4):
        scene.pause(0.5, 2)
        scene.redis.client.flushall()
    lose_the_bells(scene)


def lose_the_bells(scene: Scene) -> None:
    """The last deliveries come while nobody works, and then Redis is emptied: nothing rings for them.

    The workers are halted at rest: with SQLite's lock in a halted hand the database would be away, the bodies would
    travel in Redis, and be lost with it. That is two faults at once, and not promised.
    """
    scene.load.finish()
    scene.until(
        lambda: not scene.redis.client.exists(scene.redis.inbox.key) and scene.store.is_free(),
        "no rest came",
    )
    scene.pause(1, 2)
    scene.house.signal("worker", signal.SIGSTOP)
    for _ in range(LAST_DELIVERIES):
        scene.tell_one_more()
    time.sleep(2 * RING_REST.total_seconds())  # a receiver in a rush rings a moment later: before, not after
    scene.redis.client.flushall()
    scene.house.signal("worker", signal.SIGCONT)


def fill_redis(scene: Scene) -> None:
    """Out of memory for a while."""
    scene.pause(1, 3)
    scene.redis.fill()
    scene.pause(*LONG)
    scene.redis.widen()


def freeze_redis(scene: Scene) -> None:
    """It takes connections and never answers."""
    scene.pause(1, 3)
    scene.redis.freeze()
    scene.pause(*LONG)
    scene.redis.thaw()


def database_leaves(scene: Scene) -> None:
    """PostgreSQL crashes and is started again; SQLite is locked by somebody else."""
    scene.pause(1, 3)
    scene.store.leave()
    scene.pause(*LONG)
    scene.store.return_()


def freeze_postgresql(scene: Scene) -> None:
    """It takes connections and never answers."""
    assert isinstance(scene.store, Postgresql)
    scene.pause(1, 3)
    scene.store.cluster.freeze()
    scene.pause(*LONG)
    scene.store.cluster.thaw()


def fill_disk(scene: Scene) -> None:
    """The disk under SQLite."""
    assert isinstance(scene.store, Sqlite)
    scene.pause(1, 3)
    scene.store.fill()
    scene.pause(*LONG)
    scene.store.widen()


def both_leave(scene: Scene) -> None:
    """The database is away and Redis is silent: the door can only ask to come back, and needs no restart after."""
    scene.pause(1, 3)
    door = scene.house.main("web"), *scene.house.children("web")
    scene.store.leave()
    scene.redis.freeze()
    scene.pause(*LONG)
    scene.store.return_()
    scene.redis.thaw()
    scene.until(lambda: scene.ledger.count(503), "nobody was asked to come back")
    if door != (scene.house.main("web"), *scene.house.children("web")):
        scene.notes.append("the receiver was restarted")
