"""Outages: stores that are away, silent, full or emptied for a while."""

import signal

from tests.faults.context import FaultContext
from tests.faults.databases import Postgresql, Sqlite

SHORT, LONG = (4.0, 6.0), (6.0, 8.0)
"""How long a store is down, in seconds."""
LAST_DELIVERIES = 5


def kill_redis(context: FaultContext) -> None:
    """Twice; it comes back with its append-only file."""
    for _ in range(2):
        context.pause(1, 2)
        context.redis.kill()
        context.pause(1, 4)
        context.redis.start()


def empty_redis(context: FaultContext) -> None:
    """At any instant."""
    for _ in range(4):
        context.pause(0.5, 2)
        context.redis.client.flushall()
    lose_triggers(context)


def lose_triggers(context: FaultContext) -> None:
    """The last deliveries come while nobody works, and then Redis is emptied: nothing triggers a worker for them.

    The workers are halted at rest: with SQLite's lock in a halted hand the database would be away, the bodies would
    travel in Redis, and be lost with it. That is two faults at once, and not promised.
    """
    context.load.finish()
    context.until(
        lambda: not context.redis.client.exists(context.redis.inbox.key) and context.store.is_free(),
        "no rest came",
    )
    context.pause(1, 2)
    context.supervisor.signal("worker", signal.SIGSTOP)
    for _ in range(LAST_DELIVERIES):
        context.post_one_more()
    context.redis.client.flushall()
    context.supervisor.signal("worker", signal.SIGCONT)


def fill_redis(context: FaultContext) -> None:
    """Out of memory for a while."""
    context.pause(1, 3)
    context.redis.fill()
    context.pause(*LONG)
    context.redis.free_space()


def freeze_redis(context: FaultContext) -> None:
    """It takes connections and never answers."""
    context.pause(1, 3)
    context.redis.freeze()
    context.pause(*LONG)
    context.redis.thaw()


def database_leaves(context: FaultContext) -> None:
    """PostgreSQL crashes and is started again; SQLite is locked by another process."""
    context.pause(1, 3)
    context.store.leave()
    context.pause(*LONG)
    context.store.return_()


def freeze_postgresql(context: FaultContext) -> None:
    """It takes connections and never answers."""
    assert isinstance(context.store, Postgresql)
    context.pause(1, 3)
    context.store.cluster.freeze()
    context.pause(*LONG)
    context.store.cluster.thaw()


def fill_disk(context: FaultContext) -> None:
    """The disk under SQLite."""
    assert isinstance(context.store, Sqlite)
    context.pause(1, 3)
    context.store.fill()
    context.pause(*LONG)
    context.store.free_space()


def both_leave(context: FaultContext) -> None:
    """The database is down and Redis is silent: the receiver can only answer 503, and needs no restart afterwards."""
    context.pause(1, 3)
    receiver = context.supervisor.main("web"), *context.supervisor.children("web")
    context.store.leave()
    context.redis.freeze()
    context.pause(*LONG)
    context.store.return_()
    context.redis.thaw()
    context.until(lambda: context.sent_deliveries.count(503), "nobody was asked to come back")
    if receiver != (context.supervisor.main("web"), *context.supervisor.children("web")):
        context.notes.append("the receiver was restarted")
