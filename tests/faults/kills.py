"""Kills: processes that end by SIGKILL, at a random time or at a chosen place."""

import signal
from collections.abc import Callable

from models.account import DEFAULT
from models.delivery import delivery_id
from tests.faults.context import FaultContext
from tests.faults.outages import SHORT, lose_triggers
from tests.faults.scenarios import single_booking
from tests.faults.self_kill import POISON

SENDERS_OF_A_POOL = 2
DEADLY = 2
"""Deliveries that end each worker that processes them."""


def kill_workers(context: FaultContext) -> None:
    """Kill random processes of the worker pool."""
    for _ in range(6):
        context.pause(0.5, 2.0)
        supervised = context.supervisor.children("worker")
        if supervised:
            context.deaths += 1
            context.kill(context.random.choice(supervised))


def kill_pool(context: FaultContext) -> None:
    """Kill the worker with all its processes."""
    for _ in range(3):
        context.pause(1, 3)
        context.deaths += SENDERS_OF_A_POOL
        context.supervisor.signal("worker", signal.SIGKILL)


def die_at_the_place(context: FaultContext) -> None:
    """Arm the place several times under load, and once with the last delivery, after which nothing triggers."""
    for _ in range(4):
        context.pause(0.5, 2.0)
        context.arm()
        context.until_dead()
    context.load.finish()
    context.pause(2, 3)
    context.arm()
    context.post_one_more()
    context.until_dead()


def deliver_poison(context: FaultContext) -> None:
    """Under load, and two at once: deliveries that end each worker that processes them."""
    for number in range(DEADLY):
        context.pause(0.5, 1.5)
        (body,) = single_booking(f"{POISON}-{number}").bodies
        context.sent_deliveries.deadly.add(delivery_id(body, DEFAULT))
        context.load.post(body)


def die_while_storing_deferred(context: FaultContext) -> None:
    """While the database is down, kill the worker that stores a deferred body: under load, and with a single body."""
    context.pause(1, 2)
    _die_with_the_database_away(context)
    context.load.finish()
    _die_with_the_database_away(context, meanwhile=context.post_one_more)


def _die_with_the_database_away(context: FaultContext, meanwhile: Callable[[], None] = lambda: None) -> None:
    context.store.leave()
    context.arm()
    meanwhile()
    context.until_dead()
    context.pause(*SHORT)
    context.store.return_()


def kill_cron(context: FaultContext) -> None:
    """Kill cron while it is needed: the triggers are lost, too."""
    for _ in range(3):
        context.pause(1, 3)
        context.kill(context.supervisor.main("cron"))
    lose_triggers(context)


def kill_receiver(context: FaultContext) -> None:
    """Kill the serving process; its main process starts another."""
    for _ in range(4):
        context.pause(1, 2)
        for pid in context.supervisor.children("web"):
            context.kill(pid)


def kill_receiver_main(context: FaultContext) -> None:
    """Kill the main process; the supervisor restarts it and ends its children."""
    for _ in range(3):
        context.pause(1, 3)
        context.kill(context.supervisor.main("web"))
