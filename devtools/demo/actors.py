"""The actors of the demo: a guest at meetergo, a sender of webhooks, and the operator at the command line."""

from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner

from console.__main__ import cli
from devtools.processes import ProcessFailed
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox
from devtools.send.client import Sender
from models.account import DEFAULT
from models.delivery import delivery_id

LOST = "lost in transit"
HOST, GUEST = "host@example.com", "guest-1@example.com"
SATURDAY = 5
SECOND = "second"
"""Name of the account of an agency's second client."""


@dataclass(frozen=True)
class ActionResult:
    """The result of an action: the response, and the id of the delivery that it caused, if any."""

    response: str
    delivery_id: str | None = None


@dataclass
class Actors:
    """Performs the actions of all actors.

    Attributes:
        meetergo: the sandbox.
        address: the receiver's registered address.
        forged: an address that was never signed.
        env: environment of the operator's commands.
        folder: working directory of the operator's commands.
    """

    meetergo: Sandbox
    address: str
    forged: str
    env: Mapping[str, str]
    folder: Path
    _booked: list[str] = field(default_factory=list)

    @property
    def host_id(self) -> str:
        """The meetergo id of the onboarded host."""
        (host_id,) = (key for key, user in self.meetergo.users.items() if user["email"] == HOST)
        return host_id

    def guest_books(self, day: int) -> ActionResult:
        """Book on the host's public page."""
        (type_id,) = (key for key, value in self.meetergo.meeting_types.items() if value["userId"] == self.host_id)
        booked = self.meetergo.actions.book(type_id, working_day(day), GUEST, fullname="Guest 1")
        self._booked.append(booked["appointmentId"])
        return self._last_delivery_result(DEFAULT)

    def guest_books_undelivered(self, day: int) -> ActionResult:
        """Book while meetergo's webhook gets lost."""
        self.meetergo.faults = FaultPlan(drop=1.0)
        return self.guest_books(day)

    def guest_moves(self, day: int) -> ActionResult:
        """Move the last booking to a later hour."""
        self.meetergo.actions.reschedule(self._booked[-1], working_day(day) + timedelta(hours=3))
        return self._last_delivery_result(DEFAULT)

    def guest_cancels(self) -> ActionResult:
        """Cancel the last booking for all attendees."""
        self.meetergo.actions.cancel(self._booked[-1], "Schedule conflict")
        return self._last_delivery_result(DEFAULT)

    def guest_of_second_client_books(self, day: int) -> ActionResult:
        """Book with a host of the second company."""
        account = self.meetergo.accounts[1]
        host = account.actions.add_host("host@second.example")
        account.actions.book(host["meetingTypeId"], working_day(day), "guest-2@example.com", fullname="Guest 2")
        return self._last_delivery_result(SECOND)

    def meetergo_repeats(self) -> ActionResult:
        """Send the last delivery again, byte for byte."""
        return self.post(self.meetergo.deliveries[-1].body)

    def post(self, body: bytes, *, forged: bool = False) -> ActionResult:
        """Post a body to our address, or to a forged one."""
        response = Sender(self.forged if forged else self.address).send(body)
        text = response.body.get("reason") or response.body.get("status", "")
        return ActionResult(f"{response.status} {text}", delivery_id(body, DEFAULT) if response.status == 200 else None)

    def run_command(
        self, *arguments: str, when_done: Callable[[], str | None] = lambda: None, typed: str | None = None
    ) -> ActionResult:
        """Run a command of the operator, who types a line if it asks for one.

        It runs in this process: to start another one takes longer than all commands of the demo.

        Raises:
            ProcessFailed: the command fails.
        """
        with chdir(self.folder):
            done = CliRunner().invoke(cli, arguments, input=typed, env=self.env)
        if done.exit_code:
            raise ProcessFailed(f"console {' '.join(arguments)} failed: {done.stderr.strip()[-1000:]}")
        return ActionResult(done.stdout.strip().splitlines()[0].strip(), when_done())

    def _last_delivery_result(self, account: str) -> ActionResult:
        self.meetergo.drain()
        sent = self.meetergo.deliveries[-1]
        if sent.outcome == "dropped":
            return ActionResult(LOST)
        answer = f"{sent.status} accepted" if sent.status == 200 else f"{sent.status}"
        return ActionResult(answer, delivery_id(sent.body, account))


def working_day(number: int) -> datetime:
    """Return 9:00 UTC, within all office hours, N working days from now."""
    moment = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0)
    while number:
        moment += timedelta(days=1)
        number -= moment.weekday() < SATURDAY
    return moment
