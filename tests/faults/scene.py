"""The scene of a fault: everything that runs, and what may be done to it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.databases import Store
from tests.faults.house import House
from tests.faults.ledger import Ledger
from tests.faults.load import Load
from tests.faults.redis_server import RedisServer
from tests.faults.sinks import Platform, PostOffice
from tests.faults.stories import Story, one_more

LONGEST_WAIT_SECONDS = 60


@dataclass
class Scene:
    """What a strike gets.

    Attributes:
        random: chooses when and whom; seeded.
        load: the deliveries that come meanwhile.
        armed: the file that arms `death`.
        stories: what was told, in the end also what a strike told.
        deaths: how many senders died, or may have: so many messages may come twice.
        notes: what went otherwise than the strike wanted.
    """

    random: Random
    store: Store
    redis: RedisServer
    house: House
    load: Load
    ledger: Ledger
    platform: Platform
    post_office: PostOffice
    armed: Path
    stories: list[Story]
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

    def until(self, holds: Callable[[], object], complaint: str) -> None:
        """Returns when something holds, and notes it if it does not."""
        ends = time.monotonic() + LONGEST_WAIT_SECONDS
        while not holds():
            if time.monotonic() > ends:
                self.notes.append(complaint)
                return
            time.sleep(0.02)

    def tell(self, story: Story) -> None:
        """A story of its own, besides those that come anyway; each body is answered 200 before the next is sent."""
        self.stories.append(story)
        for body in story.bodies:
            self.load.post(body)

    def letters(self) -> int:
        """How many letters the mail server took."""
        return sum(each.was_taken and not each.stream for each in list(self.post_office.receptions.all))

    def tell_one_more(self) -> None:
        """A last delivery, when all others have come: nothing after it rings again."""
        story = one_more(f"booking-last-{len(self.stories)}", minute=len(self.stories))
        self.stories.append(story)
        self.load.post(story.bodies[0])
