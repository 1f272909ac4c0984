"""When a row that failed is tried again, and when it dies."""

from datetime import UTC, datetime, timedelta

import pytest

from models.delivery import Delivery
from models.retryable import INITIAL_BACKOFF, MAX_ATTEMPTS, MAX_BACKOFF, backoff
from runtime.errors import Permanent, Transient, describe

NOW = datetime(2024, 1, 15, tzinfo=UTC)


def pending_delivery(attempts: int = 0) -> Delivery:
    return Delivery(status="pending", attempts=attempts, due_at=NOW)


def test_the_backoff_doubles_within_its_jitter_up_to_a_maximum() -> None:
    for attempts in range(1, MAX_ATTEMPTS):
        max_wait = min(INITIAL_BACKOFF * 2.0 ** (attempts - 1), MAX_BACKOFF)
        assert max_wait / 2 <= backoff(attempts, ValueError()) <= max_wait


def test_the_backoff_is_at_least_the_retry_after() -> None:
    assert backoff(1, Transient("busy", retry_after=timedelta(hours=2))) == timedelta(hours=2)


def test_a_retry_after_is_honoured_for_a_day_at_most() -> None:
    assert backoff(1, Transient("busy", retry_after=timedelta(days=400))) == timedelta(days=1)


def test_a_permanent_failure_is_dead_at_once() -> None:
    delivery = pending_delivery()
    delivery.fail(Permanent("never"), NOW)
    assert (delivery.status, delivery.ended_at, delivery.last_error) == ("dead", NOW, "never")


@pytest.mark.parametrize("error", [Transient("busy"), ValueError("what")])
def test_any_other_failure_is_dead_when_the_attempts_run_out(error: Exception) -> None:
    delivery = pending_delivery(attempts=MAX_ATTEMPTS - 2)
    delivery.fail(error, NOW)
    assert (delivery.status, delivery.due_at > NOW) == ("pending", True)
    delivery.fail(error, NOW)
    assert delivery.status == "dead"


def test_a_replay_starts_over() -> None:
    delivery = pending_delivery()
    delivery.fail(Permanent("never"), NOW)
    delivery.replay(NOW)
    assert (delivery.status, delivery.attempts, delivery.ended_at) == ("pending", 0, None)


def test_a_foreign_exception_is_logged_by_its_class_only() -> None:
    assert describe(KeyError("guest@example.com")) == "KeyError"
