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
from models.endpoint import last_came_by
from operations.webhooks.addresses import Address
from operations.webhooks.registration import addition, registration, retirement, settle
from operations.webhooks.registrations import Registrations

LOOK_EVERY = timedelta(seconds=2)
NO_PLACE = (
    "found no place for a second webhook, so the one that there is moves at once, as by `webhook register --move`: "
    "a receiver that does not have the newest key yet refuses deliveries until it is restarted"
)


@dataclass(frozen=True)
class Rotation:
    """From the older addresses to the newest.

    Attributes:
        registry: our webhooks.
        addresses: oldest to newest.
        redis: knows by which address deliveries came.
        tell: hears what was done.
    """

    registry: Registrations
    addresses: Sequence[Address]
    redis: "Redis | None"
    tell: Callable[[str], None]

    @property
    def newest(self) -> Address:
        """Where meetergo is to post to."""
        return self.addresses[-1]

    def begin(self) -> bool:
        """Registers the newest address beside the older ones, or if there is no room, in place of one.

        Returns:
            Whether older ones are still there.

        Raises:
            LimitReached: there is no room, and nothing of ours to replace.
            ClickException: an older one posts to another host.
        """
        try:
            settle(self.registry, addition(self.registry, self.addresses), self.tell)
        except LimitReached:
            if not self.registry.look().older(self.addresses):
                raise
            self.tell(NO_PLACE)
            settle(self.registry, registration(self.registry, self.addresses, move=True), self.tell)
        older = self.registry.look().older(self.addresses)
        for webhook in older:
            self.registry.check_host(webhook)
        return bool(older)

    def wait(self, timeout: timedelta, *, every: timedelta = LOOK_EVERY) -> bool:
        """Waits until a delivery came by the newest address since it is registered; whether one did."""
        until = time.monotonic() + timeout.total_seconds()
        while not self.came():
            left = until - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, every.total_seconds()))
        return True

    def came(self) -> bool:
        """Whether a delivery came by the newest address. A Redis that is away does not know."""
        since, last = self.registry.last_registered(self.newest), self._last()
        return since is not None and last is not None and last >= since

    def end(self) -> None:
        """Takes the older addresses away."""
        settle(self.registry, retirement(self.registry, self.addresses), self.tell)

    def _last(self) -> datetime | None:
        with suppress(RedisError):
            return last_came_by(self.redis, self.newest.mark) if self.redis else None
        return None
