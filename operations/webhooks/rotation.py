"""Key rotation: register a second address under the newest key, and remove older ones once deliveries arrive there.

It can be interrupted and run again anywhere: the next step follows from meetergo's state.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from redis import Redis

from meetergo.api.errors import LimitReached
from operations.webhooks.addresses import Address
from operations.webhooks.registration import apply, plan_add, plan_register, plan_retire
from operations.webhooks.registrations import Registrations
from runtime.queue import JobQueue

POLL_INTERVAL = timedelta(seconds=2)
NO_FREE_SLOT = (
    "found no free slot for a second webhook, so the existing one is changed at once, as by `webhook register --move`: "
    "a receiver that does not have the newest key yet refuses deliveries until it is restarted"
)


@dataclass(frozen=True)
class Rotation:
    """Rotates from the older addresses to the newest.

    Attributes:
        registrations: our webhooks.
        addresses: oldest to newest.
        redis: records when each address last received a delivery.
        report: called with a description of each completed action.
    """

    registrations: Registrations
    addresses: Sequence[Address]
    redis: Redis | None
    report: Callable[[str], None]

    @property
    def newest(self) -> Address:
        """The address to rotate to."""
        return self.addresses[-1]

    def start(self) -> bool:
        """Register the newest address in addition to the older ones, or if the limit is reached, in place of one.

        Returns:
            Whether older ones remain.

        Raises:
            LimitReached: the limit is reached, and no webhook of ours can be replaced.
            OperationError: an older one posts to another host.
        """
        try:
            apply(self.registrations, plan_add(self.registrations, self.addresses), self.report)
        except LimitReached:
            if not self.registrations.fetch().older(self.addresses):
                raise
            self.report(NO_FREE_SLOT)
            apply(self.registrations, plan_register(self.registrations, self.addresses, move=True), self.report)
        older = self.registrations.fetch().older(self.addresses)
        for webhook in older:
            self.registrations.check_host(webhook)
        return bool(older)

    def wait(self, timeout: timedelta) -> bool:
        """Wait until the newest address has received a delivery since its registration; return whether it has."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not self.has_received():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_INTERVAL.total_seconds()))
        return True

    def has_received(self) -> bool:
        """Whether the newest address has received a delivery. False while Redis is down."""
        since = self.registrations.registered_at(self.newest)
        last = JobQueue(self.redis).last_seen(self.newest.fingerprint) if self.redis else None
        return since is not None and last is not None and last >= since

    def finish(self) -> None:
        """Remove the older addresses."""
        apply(self.registrations, plan_retire(self.registrations, self.addresses), self.report)
