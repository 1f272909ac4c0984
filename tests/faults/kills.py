"""Kills: processes that end by SIGKILL, at any instant or at a chosen place."""

import signal
from collections.abc import Callable

from models.delivery import delivery_id
from tests.faults.context import FaultContext
from tests.faults.outages import SHORT, lose_triggers
from tests.faults.scenarios import single_booking
from tests.faults.self_kill import POISON

SENDERS_OF_A_POOL = 2
DEADLY = 2
"""Deliveries that end each worker that handles them."""


def kill_workers(context: FaultContext) -> None:
    """Any process of the crew, at any instant."""
    for _ in range(6):
        context.pause(0.5, 2.0)
        supervised = context.supervisor.children("worker")
        if supervised:
            context.deaths += 1
            context.kill(context.random.choice(supervised))


def kill_pool(context: FaultContext) -> None:
    """The whole worker, with all its processes."""
    for _ in range(3):
        context.pause(1, 3)
        context.deaths += SENDERS_OF_A_POOL
        context.supervisor.signal("worker", signal.SIGKILL)


def die_at_the_place(context: FaultContext) -> None:
    """Sometimes under load, and once with the last delivery, after which nothing rings again."""
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
    """Under load, and two at once: deliveries that end each worker that handles them."""
    for number in range(DEADLY):
        context.pause(0.5, 1.5)
        (body,) = single_booking(f"{POISON}-{number}").bodies
        context.sent_deliveries.deadly.add(delivery_id(body))
        context.load.post(body)


def die_while_storing_deferred(context: FaultContext) -> None:
    """The database is away, and who would bring it a body dies: under load, and once with a single body."""
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
    """While it is needed: the bells are lost, too."""
    for _ in range(3):
        context.pause(1, 3)
        context.kill(context.supervisor.main("cron"))
    lose_triggers(context)


def kill_receiver(context: FaultContext) -> None:
    """The process that answers; its main process starts another."""
    for _ in range(4):
        context.pause(1, 2)
        for pid in context.supervisor.children("web"):
            context.kill(pid)


def kill_receiver_main(context: FaultContext) -> None:
    """The main process, and what the supervisor sweeps up after it."""
    for _ in range(3):
        context.pause(1, 3)
        context.kill(context.supervisor.main("web"))
