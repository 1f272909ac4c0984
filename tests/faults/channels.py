"""Channels that misbehave for a while."""

import os
import signal
import time
from collections.abc import Callable
from functools import partial

from tests.faults.context import FaultContext
from tests.faults.outages import LONG
from tests.faults.scenarios import single_booking
from tests.faults.self_kill import POISON_NOTIFICATION
from tests.faults.sinks import Behaviour

SOON_SECONDS = 10
"""Limit for other notifications while one channel hangs."""
STOPS_WITHIN_SECONDS = 15
DEADLY = 2


def channel_is(behaviour: Behaviour) -> Callable[[FaultContext], None]:
    """Let the sink misbehave for a while."""
    return partial(_misbehave, behaviour)


def _misbehave(behaviour: Behaviour, context: FaultContext) -> None:
    context.pause(1, 2)
    for sink in (context.platform, context.mail_sink):
        sink.behave(behaviour)
    context.pause(*LONG)
    for sink in (context.platform, context.mail_sink):
        sink.behave("well")


def one_hangs_beside(context: FaultContext) -> None:
    """The platform hangs; mails of the same and of new bookings are still sent."""
    context.pause(1, 2)
    context.platform.behave("hangs")
    context.load.finish()
    context.until(partial(_mails_finished, context), "the mails were never all sent")
    for _ in range(4):
        context.pause(3, 6)
        before, began = context.mails(), time.monotonic()
        context.post_one_more()
        context.until(lambda known=before: context.mails() > known, "a mail was never received")
        took = time.monotonic() - began
        if took > SOON_SECONDS:
            context.notes.append(f"a mail took {took:.0f} s while the platform hung")
    context.platform.behave("well")


def stop_while_it_hangs(context: FaultContext) -> None:
    """Ask the worker to stop while the platform does not respond; the supervisor restarts it."""
    context.pause(1, 2)
    for _ in range(2):
        context.platform.behave("hangs")
        context.post_one_more()
        context.pause(3, 6)
        old, began = context.supervisor.main("worker"), time.monotonic()
        os.kill(old, signal.SIGTERM)
        context.until(lambda known=old: context.supervisor.main("worker") != known, "the worker never stopped")
        took = time.monotonic() - began
        if took > STOPS_WITHIN_SECONDS:
            context.notes.append(f"the worker took {took:.0f} s to stop")
        context.platform.behave("well")
        context.pause(1, 2)


def _mails_finished(context: FaultContext) -> bool:
    before = context.mails()
    time.sleep(2)
    return context.mails() == before > 0


def deliver_poison_notification(context: FaultContext) -> None:
    """Under load, and two at once: notifications that end each worker that sends them."""
    for number in range(DEADLY):
        context.pause(0.5, 1.5)
        context.load.post(single_booking(f"{POISON_NOTIFICATION}-{number}").bodies[0])
