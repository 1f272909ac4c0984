"""The company: the sandbox's whole state, its lock, and the events that it emits."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import RLock
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from devtools.sandbox.timestamps import Clock

Record = dict[str, Any]
"""What meetergo would answer of one thing: names in camel case, values as JSON has them."""

BOOKING_BASE = "https://cal.meetergo.com"


class UnusableState(ValueError):
    """A file that no company can be taken from; says what to do."""


@dataclass(frozen=True)
class Plan:
    """What the company has bought.

    Attributes:
        users: maximum number; the next is a plan limit.
        webhooks: maximum number; the next is a 406.
    """

    users: int | None = None
    webhooks: int = 6


@dataclass(frozen=True)
class WebhookEvent:
    """Something to tell webhooks of.

    Attributes:
        subject: id of the booking or user that it is about.
        change: 1 for the first thing that happened to the subject, then 2, 3, ...
        content: the body without its envelope.
    """

    event: str
    subject: str
    change: int
    content: Record


EventListener = Callable[[WebhookEvent, list[Record]], None]
"""Told of what happened, and of the webhooks that want to know."""


@dataclass
class Company:
    """One customer of meetergo. Hold `lock` to read or change it.

    Attributes:
        issued: what an id was made from -> how many were.
        changes: subject -> how often something happened to it.
    """

    seed: int
    now: Clock
    plan: Plan
    event_listener: EventListener
    booking_base: str = BOOKING_BASE
    users: dict[str, Record] = field(default_factory=dict)
    availabilities: dict[str, Record] = field(default_factory=dict)
    meeting_types: dict[str, Record] = field(default_factory=dict)
    appointments: dict[str, Record] = field(default_factory=dict)
    provisional_bookings: dict[str, Record] = field(default_factory=dict)
    personal_pages: dict[str, Record] = field(default_factory=dict)
    templates: dict[str, Record] = field(default_factory=dict)
    webhooks: dict[str, Record] = field(default_factory=dict)
    issued: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.lock = RLock()
        self._namespace = uuid5(NAMESPACE_URL, f"meetergo-sandbox/{self.seed}")
        self.id = str(uuid5(self._namespace, "company"))
        self.admin_id = str(uuid5(self._namespace, "owner"))

    def new_id(self, kind: str, *made_of: str) -> str:
        """An id that follows from what the thing is made of, so that threads may make things in any order."""
        origin = "/".join((kind, *made_of))
        self.issued[origin] += 1
        return str(uuid5(self._namespace, f"{origin}#{self.issued[origin]}"))

    def secret_of(self, thing_id: str) -> str:
        """The secret of an appointment."""
        return sha256(f"{self._namespace}/{thing_id}".encode()).hexdigest()[:32]

    def emit(self, event: str, subject: str, content: Record) -> None:
        """Sends webhooks to those who registered for this event."""
        self.changes[subject] += 1
        subscribed = [webhook for webhook in self.webhooks.values() if event in webhook["eventTypes"]]
        self.event_listener(WebhookEvent(event, subject, self.changes[subject], content), subscribed)

    def save(self, path: Path) -> None:
        """Writes everything to a file."""
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(
            json.dumps({"seed": self.seed} | {name: getattr(self, name) for name in PERSISTED}, indent=1)
        )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Takes everything from a file that `save` wrote.

        Raises:
            UnusableState: it is not such a file, or of another seed, from which other ids follow.
        """
        try:
            stored = json.loads(path.read_text())
            seed = stored["seed"]
        except (ValueError, KeyError, TypeError):
            raise UnusableState(f"{path.name} holds no state of a stand-in: name another file, or remove it") from None
        if seed != self.seed:
            raise UnusableState(f"{path.name} was made with seed {seed}: use that one, or another file")
        for name in PERSISTED:
            getattr(self, name).update(stored.get(name, {}))


PERSISTED = (
    "users",
    "availabilities",
    "meeting_types",
    "appointments",
    "provisional_bookings",
    "personal_pages",
    "templates",
    "webhooks",
    "issued",
    "changes",
)
