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

from devtools.sandbox.timestamps import SMALLEST_STEP, Clock, moment, utc_text

Record = dict[str, Any]
"""An object as meetergo returns it: names in camel case, JSON values."""

BOOKING_BASE = "https://cal.meetergo.com"


class UnusableState(ValueError):
    """The file holds no usable company; the message says what to do."""


@dataclass(frozen=True)
class Plan:
    """The company's plan.

    Attributes:
        users: maximum number; beyond it the response is a plan limit.
        webhooks: maximum number; beyond it the response is 406.
    """

    users: int | None = None
    webhooks: int = 6


@dataclass(frozen=True)
class WebhookEvent:
    """An event to send to webhooks.

    Attributes:
        subject: id of the booking or user that it is about.
        change: number of the subject's change, from 1.
        content: the body without its envelope.
        company: number of the company.
    """

    event: str
    subject: str
    change: int
    content: Record
    company: int


EventListener = Callable[[WebhookEvent, list[Record]], None]
"""Receives an event and the webhooks that subscribed to it."""


@dataclass
class Company:
    """One customer of meetergo. Hold `lock` to read or change it.

    Attributes:
        number: its number among the sandbox's companies, from 1; ids depend on it.
        issued: origin of an id -> number of ids derived from it.
        changes: subject -> number of changes.
    """

    seed: int
    now: Clock
    plan: Plan
    event_listener: EventListener
    number: int = 1
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
        number = "" if self.number == 1 else f"/{self.number}"
        self._namespace = uuid5(NAMESPACE_URL, f"meetergo-sandbox/{self.seed}{number}")
        self.id = str(uuid5(self._namespace, "company"))
        self.admin_id = str(uuid5(self._namespace, "owner"))

    def new_id(self, kind: str, *made_of: str) -> str:
        """Derive an id from the object's content, so that it does not depend on the order of creation."""
        origin = "/".join((kind, *made_of))
        self.issued[origin] += 1
        return str(uuid5(self._namespace, f"{origin}#{self.issued[origin]}"))

    def secret_of(self, appointment_id: str) -> str:
        """Derive the secret of an appointment."""
        return sha256(f"{self._namespace}/{appointment_id}".encode()).hexdigest()[:32]

    def touch(self, record: Record) -> None:
        """Note the time of a change in a record: now, but always later than the change before."""
        record["updatedAt"] = utc_text(max(self.now(), moment(record["updatedAt"]) + SMALLEST_STEP))

    def emit(self, event: str, subject: str, content: Record) -> None:
        """Emit an event to the webhooks that subscribed to it."""
        self.changes[subject] += 1
        subscribed = [webhook for webhook in self.webhooks.values() if event in webhook["eventTypes"]]
        self.event_listener(WebhookEvent(event, subject, self.changes[subject], content, self.number), subscribed)

    def save(self, path: Path) -> None:
        """Write the whole state to a file; that of a further company to one beside it."""
        path = self._file(path)
        content = json.dumps({"seed": self.seed} | {name: getattr(self, name) for name in PERSISTED}, indent=1)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        temporary.touch(mode=0o600)
        temporary.write_text(content)
        temporary.replace(path)

    def load(self, path: Path) -> bool:
        """Load the state that `save` wrote; return whether there was one.

        Raises:
            UnusableState: the file was not written by `save`, or has another seed, which yields other ids.
        """
        path = self._file(path)
        if not path.exists():
            return False
        try:
            stored = json.loads(path.read_text())
            seed = stored["seed"]
        except (ValueError, KeyError, TypeError):
            raise UnusableState(f"{path} holds no state of a sandbox: name another file, or remove it") from None
        if seed != self.seed:
            raise UnusableState(f"{path} was made with --seed {seed}: use that one, or another file")
        for name in PERSISTED:
            getattr(self, name).update(stored.get(name, {}))
        return True

    def _file(self, path: Path) -> Path:
        return path if self.number == 1 else path.with_name(f"{path.stem}-{self.number}{path.suffix}")


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
