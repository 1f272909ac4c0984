"""The scene of a fault: everything that runs, and what may be done to it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.databases import Store
from tests.faults.load import Load
from tests.faults.redis_server import RedisServer
from tests.faults.scenarios import BookingScenario, single_booking
from tests.faults.sent_deliveries import SentDeliveries
from tests.faults.sinks import MailSink, PlatformSink
from tests.faults.supervisor import ProcessSupervisor

LONGEST_WAIT_SECONDS = 60


@dataclass
class FaultContext:
    """What a strike gets.

    Attributes:
        random: chooses when and whom; seeded.
        load: the deliveries that come meanwhile.
        armed: the file that arms `death`.
        scenarios: what was told, in the end also what a strike told.
        deaths: how many senders died, or may have: so many messages may come twice.
        notes: what went otherwise than the strike wanted.
    """

    random: Random
    store: Store
    redis: RedisServer
    supervisor: ProcessSupervisor
    load: Load
    sent_deliveries: SentDeliveries
    platform: PlatformSink
    mail_sink: MailSink
    armed: Path
    scenarios: list[BookingScenario]
    deaths: int = 0
    notes: list[str] = field(default_factory=list)

    def pause(self, shortest: float, longest: float) -> None:
        """Some time, in seconds."""
        time.sleep(self.random.uniform(shortest, longest))

    def kill(self, pid: int) -> None:
        """Nobody can prepare for it."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            self.notes.append("the victim was dead already")

    def arm(self) -> None:
        """Whoever comes by the chosen place dies there."""
        self.deaths += 1
        self.armed.touch()

    def until_dead(self) -> None:
        """Returns when somebody did."""
        self.until(lambda: not self.armed.exists(), "nobody came by the place where they should have died")

    def until(self, condition: Callable[[], object], failure_note: str) -> None:
        """Returns when something holds, and notes it if it does not."""
        ends = time.monotonic() + LONGEST_WAIT_SECONDS
        while not condition():
            if time.monotonic() > ends:
                self.notes.append(failure_note)
                return
            time.sleep(0.02)

    def post_scenario(self, scenario: BookingScenario) -> None:
        """A story of its own, besides those that come anyway; each body is answered 200 before the next is sent."""
        self.scenarios.append(scenario)
        for body in scenario.bodies:
            self.load.post(body)

    def mails(self) -> int:
        """How many letters the mail server took."""
        return sum(each.was_accepted and not each.stream for each in list(self.mail_sink.received_messages.all))

    def post_one_more(self) -> None:
        """A last delivery, when all others have come: nothing after it rings again."""
        scenario = single_booking(f"booking-last-{len(self.scenarios)}", minute=len(self.scenarios))
        self.scenarios.append(scenario)
        self.load.post(scenario.bodies[0])
