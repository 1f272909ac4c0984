"""Registration: what makes meetergo's webhooks match ours, step by step, however often it is asked."""

from collections.abc import Callable, Iterator, Sequence

import click

from meetergo.api.errors import OutcomeUnknown
from meetergo.api.schemas import Webhook
from operations.consistency import wait_for_consistency
from operations.webhooks.addresses import Address, host_of, mark_in
from operations.webhooks.registrations import EVENTS, Action, Registrations, RegistrationState

TRIES = 3

Steps = Callable[[RegistrationState], Iterator[Action]]
"""What there is to do about what is seen."""


def registration(registry: Registrations, addresses: Sequence[Address], *, move: bool = False) -> Steps:
    """The newest address is registered once: an older one of ours moves rather than taking a second place.

    Args:
        registry: where.
        addresses: ours, oldest to newest.
        move: also from another key's address on the same host, by which deliveries come as we speak.
    """

    def steps(seen: RegistrationState) -> Iterator[Action]:
        older = seen.older(addresses)
        if seen.at(addresses[-1]):
            yield from _corrections(registry, addresses[-1], seen)
        elif older:
            if not move:
                _check_key(older[-1], addresses[-1])
            yield registry.move(older[-1], addresses[-1])
        else:
            yield registry.create(addresses[-1])
        yield from map(registry.forget, seen.gone())

    return steps


def addition(registry: Registrations, addresses: Sequence[Address]) -> Steps:
    """The newest address is registered as well; older ones stay."""

    def steps(seen: RegistrationState) -> Iterator[Action]:
        if seen.at(addresses[-1]):
            yield from _corrections(registry, addresses[-1], seen)
        else:
            yield registry.create(addresses[-1])

    return steps


def retirement(registry: Registrations, addresses: Sequence[Address]) -> Steps:
    """Older addresses go, if the newest is there."""

    def steps(seen: RegistrationState) -> Iterator[Action]:
        if seen.at(addresses[-1]):
            yield from map(registry.remove, seen.older(addresses))
            yield from map(registry.forget, seen.gone())

    return steps


def settle(
    registry: Registrations,
    steps: Steps,
    tell: Callable[[str], None],
    wait: Callable[[], object] = wait_for_consistency,
) -> None:
    """Does what there is to do. After a step of which nobody knows whether it was done, it waits, looks, and decides
    anew.

    Args:
        registry: where.
        steps: what to do.
        tell: hears what was done.
        wait: gives a step that was left open its time.

    Raises:
        OutcomeUnknown: that happened too often.
    """
    for left in reversed(range(TRIES)):
        try:
            for step in steps(registry.look()):
                step.do()
                tell(step.did)
        except OutcomeUnknown:
            if not left:
                raise
            wait()
        else:
            return


def occupants(seen: RegistrationState) -> str:
    """Who takes the places there are, without anybody's secret path."""
    return ", ".join(f"{webhook.id} ({host_of(webhook.endpoint)})" for webhook in seen.webhooks)


def _check_key(older: Webhook, newest: Address) -> None:
    """A receiver that was not restarted yet answers 404 by the newest key."""
    if host_of(older.endpoint) == host_of(newest.url) and mark_in(older.endpoint) != newest.mark:
        raise click.ClickException(
            f"webhook {older.id} posts to the address of an older key, and stays: `webhook rotate` goes over to the "
            "newest key without losing a delivery; --move moves it at once, if the receiver has that key already"
        )


def _corrections(registry: Registrations, address: Address, seen: RegistrationState) -> Iterator[Action]:
    kept, *duplicates = seen.at(address)
    if not seen.is_ours(kept):
        yield registry.adopt(kept, address)
    if set(kept.event_types) != set(EVENTS):
        yield registry.correct(kept, address)
    yield from map(registry.remove, duplicates)
