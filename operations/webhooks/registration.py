"""Plans that bring meetergo's webhooks to the desired state, idempotent step by step."""

from collections.abc import Callable, Iterator, Sequence

from meetergo.api.errors import OutcomeUnknown
from meetergo.api.schemas import Webhook
from operations.consistency import wait_for_consistency
from operations.errors import OperationError
from operations.webhooks.addresses import Address
from operations.webhooks.registrations import EVENTS, Action, Registrations, RegistrationState
from runtime.signed_address import fingerprint_in, host_of

MAX_ATTEMPTS = 3

Plan = Callable[[RegistrationState], Iterator[Action]]
"""Returns the actions for an observed state."""


def plan_register(registrations: Registrations, addresses: Sequence[Address], *, move: bool) -> Plan:
    """Register the newest address once; a webhook with an older address of ours is moved, not duplicated.

    Args:
        registrations: where.
        addresses: ours, oldest to newest.
        move: whether to also move a webhook from another key's address on the same host, which may be in use.
    """

    def plan(state: RegistrationState) -> Iterator[Action]:
        older = state.older(addresses)
        if state.for_address(addresses[-1]):
            yield from _plan_corrections(registrations, addresses[-1], state)
        elif older:
            if not move:
                _check_key(older[-1], addresses[-1])
            yield registrations.move(older[-1], addresses[-1])
        else:
            yield registrations.create(addresses[-1])
        yield from map(registrations.forget, state.missing())

    return plan


def plan_add(registrations: Registrations, addresses: Sequence[Address]) -> Plan:
    """Register the newest address in addition; older ones stay."""

    def plan(state: RegistrationState) -> Iterator[Action]:
        if state.for_address(addresses[-1]):
            yield from _plan_corrections(registrations, addresses[-1], state)
        else:
            yield registrations.create(addresses[-1])

    return plan


def plan_retire(registrations: Registrations, addresses: Sequence[Address]) -> Plan:
    """Remove older addresses, if the newest is registered."""

    def plan(state: RegistrationState) -> Iterator[Action]:
        if state.for_address(addresses[-1]):
            yield from map(registrations.remove, state.older(addresses))
            yield from map(registrations.forget, state.missing())

    return plan


def apply(registrations: Registrations, plan: Plan, report: Callable[[str], None]) -> None:
    """Run the plan. After an action with unknown outcome, wait, fetch the state, and plan anew.

    Args:
        registrations: where.
        plan: the plan to run.
        report: called with a description of each completed action.

    Raises:
        OutcomeUnknown: this happened too often.
    """
    for attempts_left in reversed(range(MAX_ATTEMPTS)):
        try:
            for action in plan(registrations.fetch()):
                action.run()
                report(action.description)
        except OutcomeUnknown:
            if not attempts_left:
                raise
            wait_for_consistency()
        else:
            return


def describe_slots(state: RegistrationState) -> str:
    """List the registered webhooks by id and host, without secret paths."""
    return ", ".join(f"{webhook.id} ({host_of(webhook.endpoint)})" for webhook in state.webhooks)


def _check_key(older: Webhook, newest: Address) -> None:
    """Refuse to move between keys: a receiver that was not restarted answers 404 for the newest key."""
    if host_of(older.endpoint) == host_of(newest.url) and fingerprint_in(older.endpoint) != newest.fingerprint:
        raise OperationError(
            f"webhook {older.id} posts to the address of an older key, and stays: `webhook rotate` goes over to the "
            "newest key without losing a delivery; --move moves it at once, if the receiver has that key already"
        )


def _plan_corrections(registrations: Registrations, address: Address, state: RegistrationState) -> Iterator[Action]:
    kept, *duplicates = state.for_address(address)
    if not state.is_ours(kept):
        yield registrations.adopt(kept, address)
    if set(kept.event_types) != set(EVENTS):
        yield registrations.update_events(kept, address)
    yield from map(registrations.remove, duplicates)
