"""Webhooks at meetergo, compared with those registered by us, and the actions on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from meetergo.api import Meetergo
from meetergo.api.errors import OutcomeUnknown
from meetergo.api.schemas import Webhook
from models.endpoint import Endpoint
from operations.errors import OperationError
from operations.webhooks.addresses import Address
from runtime.database import Database
from runtime.signed_address import fingerprint_in, host_of

EVENTS = ("booking_created", "booking_cancelled", "booking_rescheduled", "new_employee")
DESCRIPTION = "meetergo-inbox"


@dataclass(frozen=True)
class RegistrationState:
    """The observed state.

    Attributes:
        webhooks: all of the company's webhooks, including others'.
        known: meetergo id -> the stored endpoint.
    """

    webhooks: Sequence[Webhook]
    known: dict[str, Endpoint]

    def for_address(self, address: Address) -> list[Webhook]:
        """Return the webhooks with exactly this address; ours first."""
        found = [webhook for webhook in self.webhooks if webhook.endpoint == address.url]
        return sorted(found, key=lambda webhook: not self.is_ours(webhook))

    def is_ours(self, webhook: Webhook) -> bool:
        """Whether we registered the webhook: its id and its address match the stored endpoint."""
        row = self.known.get(webhook.id)
        return row is not None and row.fingerprint == fingerprint_in(webhook.endpoint)

    def ours(self) -> list[Webhook]:
        """Return all webhooks registered by us."""
        return [webhook for webhook in self.webhooks if self.is_ours(webhook)]

    def older(self, addresses: Sequence[Address]) -> list[Webhook]:
        """Return our webhooks that do not post to the newest address."""
        older_ids = {webhook.id for address in addresses[:-1] for webhook in self.for_address(address)}
        newest_ids = {webhook.id for webhook in self.for_address(addresses[-1])}
        return [
            webhook
            for webhook in self.webhooks
            if webhook.id not in newest_ids and (webhook.id in older_ids or self.is_ours(webhook))
        ]

    def elsewhere(self, addresses: Sequence[Address]) -> list[Webhook]:
        """Return webhooks with an address of our keys at another URL, which we do not know to have registered.

        They are from before a change of domain and of database, or another installation's with the same keys.
        """
        fingerprints = {address.fingerprint for address in addresses}
        urls = {address.url for address in addresses}
        return [
            webhook
            for webhook in self.webhooks
            if fingerprint_in(webhook.endpoint) in fingerprints
            and not (webhook.endpoint in urls or self.is_ours(webhook))
        ]

    def missing(self) -> list[str]:
        """Return stored ids that meetergo does not have."""
        return sorted(self.known.keys() - {webhook.id for webhook in self.webhooks})


@dataclass(frozen=True)
class Action:
    """One action to run.

    Attributes:
        description: what was done, for the operator.
        run: performs and stores the action.
    """

    description: str
    run: Callable[[], None]


class Registrations:
    """Our webhook registrations.

    Args:
        meetergo: API client that acts as an admin.
        database: stores them. If it is a copy of another installation's, it names that one's webhooks.
        clock: returns the time, UTC.
        host: our host; webhooks that post elsewhere are not changed. None for any host.
        account: the account whose webhooks these are.
    """

    def __init__(
        self,
        meetergo: Meetergo,
        database: Database,
        clock: Callable[[], datetime],
        host: str | None,
        account: str,
    ) -> None:
        self._meetergo = meetergo
        self._database = database
        self._clock = clock
        self._host = host
        self._account = account

    def fetch(self) -> RegistrationState:
        """Fetch the webhooks from meetergo and the stored endpoints."""
        webhooks = self._meetergo.webhooks.list()
        with self._database.read_only() as session:
            return RegistrationState(webhooks, {row.provider_id: row for row in Endpoint.all(session, self._account)})

    def check_host(self, webhook: Webhook) -> None:
        """Check that a webhook may be changed or removed.

        Raises:
            OperationError: it posts to another host, so another installation may depend on it.
        """
        there = host_of(webhook.endpoint)
        if self._host is not None and there.casefold() != self._host.casefold():
            raise OperationError(
                f"webhook {webhook.id} posts to {there} and not to {self._host}: if this database is a copy of another "
                "installation's, the webhook is that one's. Only if it is not: run this again with --force"
            )

    def create(self, address: Address) -> Action:
        """Create a webhook."""

        def run() -> None:
            self._remember(address, self._meetergo.webhooks.create(address.url, EVENTS, DESCRIPTION))

        return Action(f"registered a webhook that posts to {host_of(address.url)}", run)

    def adopt(self, webhook: Webhook, address: Address) -> Action:
        """Adopt a webhook that posts to us but is not stored."""
        return Action(f"adopted webhook {webhook.id}", lambda: self._remember(address, webhook))

    def move(self, webhook: Webhook, address: Address) -> Action:
        """Move a webhook of ours to another address."""
        self.check_host(webhook)

        def run() -> None:
            changed = self._meetergo.webhooks.update(webhook.id, endpoint=address.url, event_types=EVENTS)
            if changed.endpoint != address.url:
                raise OutcomeUnknown(
                    f"meetergo accepted a new address for webhook {webhook.id}, and answered with another one"
                )
            self._remember(address, changed)

        where = f"from {host_of(webhook.endpoint)} to {host_of(address.url)}"
        return Action(f"moved webhook {webhook.id} to the address of the newest key, {where}", run)

    def update_events(self, webhook: Webhook, address: Address) -> Action:
        """Update the events of a webhook of ours."""

        def run() -> None:
            self._remember(address, self._meetergo.webhooks.update(webhook.id, event_types=EVENTS))

        return Action(f"changed the events of webhook {webhook.id}", run)

    def remove(self, webhook: Webhook) -> Action:
        """Remove a webhook of ours."""
        self.check_host(webhook)

        def run() -> None:
            self._meetergo.webhooks.delete(webhook.id)
            self._forget(webhook.id)

        return Action(f"removed webhook {webhook.id}, which posted to {host_of(webhook.endpoint)}", run)

    def forget(self, webhook_id: str) -> Action:
        """Forget a webhook that was removed at meetergo."""
        return Action(f"forgot webhook {webhook_id}, which meetergo does not have", lambda: self._forget(webhook_id))

    def registered_at(self, address: Address) -> datetime | None:
        """Return when an address was registered, as far as stored."""
        with self._database.read_only() as session:
            row = Endpoint.by_fingerprint(session, [address.fingerprint]).get(address.fingerprint)
        return row.registered_at if row else None

    def _remember(self, address: Address, webhook: Webhook) -> None:
        with self._database.transaction() as session:
            events = webhook.event_types or EVENTS
            Endpoint.save(session, address.fingerprint, webhook.id, events, self._clock(), self._account)

    def _forget(self, webhook_id: str) -> None:
        with self._database.transaction() as session:
            Endpoint.remove(session, webhook_id, self._account)
