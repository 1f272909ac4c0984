"""When a row that failed is tried again, and when it dies."""

from datetime import UTC, datetime, timedelta

import pytest

from models.delivery import Delivery
from models.retryable import FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_WAIT, MAX_ATTEMPTS, backoff
from runtime.errors import Permanent, Transient, describe

NOW = datetime(2024, 1, 15, tzinfo=UTC)


def row(attempts: int = 0) -> Delivery:
    return Delivery(status="pending", attempts=attempts, due_at=NOW)


def test_the_wait_doubles_within_its_jitter_and_has_an_end() -> None:
    for attempts in range(1, MAX_ATTEMPTS):
        longest = min(FIRST_BACKOFF * 2.0 ** (attempts - 1), LONGEST_BACKOFF)
        assert longest / 2 <= backoff(attempts, ValueError()) <= longest


def test_the_wait_is_at_least_what_the_other_side_asked_for() -> None:
    assert backoff(1, Transient("busy", retry_after=timedelta(hours=2))) == timedelta(hours=2)


def test_nobody_is_waited_for_longer_than_a_day() -> None:
    assert backoff(1, Transient("busy", retry_after=timedelta(days=400))) == timedelta(days=1)


def test_a_row_that_waits_for_a_time_that_only_a_wrong_clock_can_mean_is_up() -> None:
    for wait, is_up in ((timedelta(0), True), (timedelta(minutes=1), False), (LONGEST_WAIT, False)):
        assert Delivery(status="pending", attempts=1, due_at=NOW + wait).is_up(NOW) is is_up
    assert Delivery(status="pending", attempts=1, due_at=NOW + LONGEST_WAIT + timedelta(minutes=1)).is_up(NOW)


def test_a_permanent_failure_is_death_at_once() -> None:
    delivery = row()
    delivery.fail(Permanent("never"), NOW)
    assert (delivery.status, delivery.ended_at, delivery.last_error) == ("dead", NOW, "never")


@pytest.mark.parametrize("error", [Transient("busy"), ValueError("what")])
def test_any_other_failure_is_death_when_the_attempts_run_out(error: Exception) -> None:
    delivery = row(attempts=MAX_ATTEMPTS - 2)
    delivery.fail(error, NOW)
    assert (delivery.status, delivery.due_at > NOW) == ("pending", True)
    delivery.fail(error, NOW)
    assert delivery.status == "dead"


def test_a_replay_starts_over() -> None:
    delivery = row()
    delivery.fail(Permanent("never"), NOW)
    delivery.replay(NOW)
    assert (delivery.status, delivery.attempts, delivery.ended_at) == ("pending", 0, None)


def test_what_is_logged_of_somebody_elses_exception_is_its_class_only() -> None:
    assert describe(KeyError("guest@example.com")) == "KeyError"
