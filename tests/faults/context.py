"""The context of a fault: everything that runs, and how to affect it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from devtools.sandbox.server import Sandbox
from runtime.encryption import BodyCipher
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
    """What a fault gets.

    Attributes:
        random: chooses when and whom; seeded.
        load: the deliveries that come meanwhile.
        armed: the file that arms `death`.
        scenarios: the delivered scenarios, including those of faults.
        deaths: how many senders died, or may have: as many messages may come twice.
        cipher: encrypts bodies.
        path_of: returns the signed address of an account.
        meetergo: stands in for meetergo, in faults that need it.
        notes: what went otherwise than the strike wanted.
        when_idle: called once nothing is pending, before the verdict.
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
    cipher: BodyCipher
    path_of: Callable[[str], str]
    meetergo: Sandbox | None = None
    deaths: int = 0
    notes: list[str] = field(default_factory=list)
    when_idle: list[Callable[[], None]] = field(default_factory=list)

    def pause(self, shortest: float, longest: float) -> None:
        """Sleep for some time, in seconds."""
        time.sleep(self.random.uniform(shortest, longest))

    def kill(self, pid: int) -> None:
        """Sleep for a random time."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            self.notes.append("the process was already dead")

    def arm(self) -> None:
        """Arm the chosen place: the next process that passes it dies there."""
        self.deaths += 1
        self.armed.touch()

    def until_dead(self) -> None:
        """Wait until a process died there."""
        self.until(lambda: not self.armed.exists(), "no process passed the armed place")

    def until(self, condition: Callable[[], object], failure_note: str) -> None:
        """Wait until a condition holds; note it if it never does."""
        ends = time.monotonic() + LONGEST_WAIT_SECONDS
        while not condition():
            if time.monotonic() > ends:
                self.notes.append(failure_note)
                return
            time.sleep(0.02)

    def post_scenario(self, scenario: BookingScenario) -> None:
        """Deliver a scenario of its own, besides the load; each body is answered 200 before the next is sent."""
        self.scenarios.append(scenario)
        for body in scenario.bodies:
            self.load.post(body)

    def mails(self) -> int:
        """Return the number of mails that the mail server accepted."""
        return sum(each.was_accepted and not each.stream for each in list(self.mail_sink.received_messages.all))

    def post_one_more(self) -> None:
        """Deliver one more body after all others: nothing triggers after it."""
        scenario = single_booking(f"booking-last-{len(self.scenarios)}", minute=len(self.scenarios))
        self.scenarios.append(scenario)
        self.load.post(scenario.bodies[0])
