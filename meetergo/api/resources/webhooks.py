"""Webhook registrations: the endpoints that meetergo posts to, at most six per company. They are not under /v4."""

from collections.abc import Sequence

import httpx

from meetergo.api.errors import InvalidCall, NotFound
from meetergo.api.network import is_public_host
from meetergo.api.request import identifier
from meetergo.api.schemas import Webhook
from meetergo.api.session import Resource, without_none

PATH = "/webhooks"


class Webhooks(Resource):
    """API calls for webhook registrations."""

    def list(self) -> list[Webhook]:
        """Return all registrations of the company, including those of others.

        Raises:
            BadResponse: one of them cannot be read, and could be the one that the caller looks for.
        """
        return self._session.get(PATH).many(Webhook, "webhooks", strict=True)

    def create(self, endpoint: str, event_types: Sequence[str], description: str | None = None) -> Webhook:
        """Register an endpoint. meetergo accepts duplicates, so list before.

        Raises:
            LimitReached: six are registered already.
            OutcomeUnknown: it may have been registered. List them and look for the URL.
            InvalidCall: the URL is not https or not public, or no event is named.
        """
        self._check(endpoint, event_types)
        body = without_none(endpoint=endpoint, eventTypes=list(event_types), description=description)
        return self._session.post(PATH, body).one(Webhook)

    def update(
        self,
        webhook_id: str | int,
        *,
        endpoint: str | None = None,
        event_types: Sequence[str] | None = None,
        description: str | None = None,
    ) -> Webhook:
        """Change a registration. Events that are not named are no longer sent. Idempotent.

        Raises:
            InvalidCall: as in `create`, or nothing to change.
        """
        self._check(endpoint, event_types)
        types = None if event_types is None else list(event_types)
        changes = without_none(endpoint=endpoint, eventTypes=types, description=description)
        if not changes:
            raise InvalidCall("nothing to change: give an endpoint, events or a description")
        webhook_id = identifier(webhook_id, "webhook")
        response = self._session.patch(f"{PATH}/{webhook_id}", changes)
        listed = (hook for hook in self.list() if hook.id == webhook_id) if response.is_empty else iter(())
        return next(listed, None) or response.one(Webhook)

    def delete(self, webhook_id: str | int) -> bool:
        """Delete a registration; return whether it existed."""
        try:
            self._session.delete(f"{PATH}/{identifier(webhook_id, 'webhook')}")
        except NotFound:
            return False
        return True

    def _check(self, endpoint: str | None, event_types: Sequence[str] | None) -> None:
        if endpoint is not None:
            check_endpoint(endpoint, local=self._session.local_webhooks)
        if event_types is not None and not event_types:
            raise InvalidCall("name at least one event, such as booking_created")


def check_endpoint(endpoint: str, *, local: bool = False) -> None:
    """Check that meetergo may post to a URL. meetergo itself is not known to check.

    Args:
        endpoint: a URL. No message quotes it: its path is a secret.
        local: whether to accept http and private hosts.

    Raises:
        InvalidCall: it is not https, or its host is not reachable from outside.
    """
    try:
        url = httpx.URL(endpoint)
    except httpx.InvalidURL:
        raise InvalidCall(
            "a webhook's address should be a URL such as https://bookings.example.com/webhooks/..."
        ) from None
    if url.scheme != "https" and not (local and url.scheme == "http"):
        raise InvalidCall("a webhook's address must begin with https")
    if url.userinfo or url.fragment or not url.host:
        raise InvalidCall("a webhook's address has a host, no user and no fragment")
    if not local and not is_public_host(url.host):
        raise InvalidCall("a webhook's address must be public: meetergo cannot reach a private host")
