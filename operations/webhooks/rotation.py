"""The rotation: a second address under the newest key, and the older ones gone once deliveries come by it.

It may be interrupted anywhere and run again: what there is to do follows from what meetergo has.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis import Redis
from redis.exceptions import RedisError

from meetergo.api.errors import LimitReached
from operations.webhooks.addresses import Address
from operations.webhooks.registration import apply, plan_add, plan_register, plan_retire
from operations.webhooks.registrations import Registrations
from runtime.redis.address_usage import last_seen

POLL_INTERVAL = timedelta(seconds=2)
NO_FREE_SLOT = (
    "found no place for a second webhook, so the one that there is moves at once, as by `webhook register --move`: "
    "a receiver that does not have the newest key yet refuses deliveries until it is restarted"
)


@dataclass(frozen=True)
class Rotation:
    """From the older addresses to the newest.

    Attributes:
        registrations: our webhooks.
        addresses: oldest to newest.
        redis: knows by which address deliveries came.
        report: hears what was done.
    """

    registrations: Registrations
    addresses: Sequence[Address]
    redis: "Redis | None"
    report: Callable[[str], None]

    @property
    def newest(self) -> Address:
        """Where meetergo is to post to."""
        return self.addresses[-1]

    def start(self) -> bool:
        """Registers the newest address beside the older ones, or if there is no room, in place of one.

        Returns:
            Whether older ones are still there.

        Raises:
            LimitReached: there is no room, and nothing of ours to replace.
            ClickException: an older one posts to another host.
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

    def wait(self, timeout: timedelta, *, poll_interval: timedelta = POLL_INTERVAL) -> bool:
        """Waits until a delivery came by the newest address since it is registered; whether one did."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not self.has_received():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, poll_interval.total_seconds()))
        return True

    def has_received(self) -> bool:
        """Whether a delivery came by the newest address. A Redis that is away does not know."""
        since, last = self.registrations.registered_at(self.newest), self._last_delivery_at()
        return since is not None and last is not None and last >= since

    def finish(self) -> None:
        """Takes the older addresses away."""
        apply(self.registrations, plan_retire(self.registrations, self.addresses), self.report)

    def _last_delivery_at(self) -> datetime | None:
        with suppress(RedisError):
            return last_seen(self.redis, self.newest.fingerprint) if self.redis else None
        return None
