"""Registration: what makes meetergo's webhooks match ours, step by step, however often it is asked."""

from collections.abc import Callable, Iterator, Sequence

from console.addresses import Address, host_of
from console.registry import EVENTS, Registry, Seen, Step
from meetergo.api.errors import Ambiguous

TRIES = 3

Steps = Callable[[Seen], Iterator[Step]]
"""What there is to do about what is seen."""


def registration(registry: Registry, addresses: Sequence[Address]) -> Steps:
    """The newest address is registered once: an older one of ours moves rather than taking a second place."""

    def steps(seen: Seen) -> Iterator[Step]:
        older = seen.older(addresses)
        if seen.at(addresses[-1]):
            yield from _corrections(registry, addresses[-1], seen)
        elif older:
            yield registry.move(older[-1], addresses[-1])
        else:
            yield registry.create(addresses[-1])
        yield from map(registry.forget, seen.gone())

    return steps


def addition(registry: Registry, addresses: Sequence[Address]) -> Steps:
    """The newest address is registered as well; older ones stay."""

    def steps(seen: Seen) -> Iterator[Step]:
        if seen.at(addresses[-1]):
            yield from _corrections(registry, addresses[-1], seen)
        else:
            yield registry.create(addresses[-1])

    return steps


def retirement(registry: Registry, addresses: Sequence[Address]) -> Steps:
    """Older addresses go, if the newest is there."""

    def steps(seen: Seen) -> Iterator[Step]:
        if seen.at(addresses[-1]):
            yield from map(registry.remove, seen.older(addresses))
            yield from map(registry.forget, seen.gone())

    return steps


def settle(registry: Registry, steps: Steps, tell: Callable[[str], None]) -> None:
    """Does what there is to do. After a step of which nobody knows whether it was done, it looks, and decides anew.

    Args:
        registry: where.
        steps: what to do.
        tell: hears what was done.

    Raises:
        Ambiguous: that happened too often.
    """
    for left in reversed(range(TRIES)):
        try:
            for step in steps(registry.look()):
                step.do()
                tell(step.did)
        except Ambiguous:
            if not left:
                raise
        else:
            return


def occupants(seen: Seen) -> str:
    """Who takes the places there are, without anybody's secret path."""
    return ", ".join(f"{webhook.id} ({host_of(webhook.endpoint)})" for webhook in seen.webhooks)


def _corrections(registry: Registry, address: Address, seen: Seen) -> Iterator[Step]:
    kept, *duplicates = seen.at(address)
    if not seen.is_ours(kept):
        yield registry.adopt(kept, address)
    if set(kept.event_types) != set(EVENTS):
        yield registry.correct(kept, address)
    yield from map(registry.remove, duplicates)
