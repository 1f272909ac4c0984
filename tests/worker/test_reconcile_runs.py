"""Runs of reconcile: one at a time, resumed where they stopped, undisturbed by webhooks that arrive meanwhile."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from devtools.forked import ForkedProcess, Program
from devtools.processes import processes
from meetergo.api.schemas import Appointment
from models.account import DEFAULT
from models.booking import Booking
from models.delivery import Delivery
from models.reconciliation import ReconcileCursor, Reconciliation
from runtime.process.stop_signal import StopEvent
from tests.console.cli import ON_SQLITE
from tests.waiting import wait_until
from tests.worker.provider import LISTS, Provider, free_start, webhook
from worker.reconcile.provider_appointments import HostAppointments
from worker.reconcile.runner import LOCK_NAME, LOCK_TTL, AlreadyRunning, exclusive, reconcile_on_schedule
from worker.settings import ScheduleSettings


def swept(provider: Provider) -> list[str]:
    with provider.harness.services.database.read_only() as session:
        return sorted(
            session.scalars(select(ReconcileCursor.meetergo_user_id).where(ReconcileCursor.swept_at.is_not(None)))
        )


def after(questions: int) -> Callable[[], bool]:
    """Return a callback that stops after N calls. It is called before each host and each request."""
    answers = chain(repeat(False, questions), repeat(True))
    return lambda: next(answers)


def test_the_next_run_starts_with_the_remaining_hosts_of_an_interrupted_one(three_hosts: Provider) -> None:
    first = three_hosts.reconcile(should_stop=after(2))
    assert (first.hosts, first.left, len(first.drifts)) == (1, 3, 1)
    three_hosts.meetergo.requests.clear()
    second = three_hosts.reconcile(should_stop=after(4))
    assert (second.hosts, second.left) == (2, 2)
    assert len(swept(three_hosts)) == 3
    assert len(three_hosts.harness.all(Booking)) == 3
    assert three_hosts.harness.notification_kinds() == ["created"] * 3


@ON_SQLITE
@pytest.mark.parametrize("created_at", ["2199-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_booking_made_in_the_future_hides_no_later_one(provider: Provider, created_at: str) -> None:
    """The next run reads the list of new bookings back to the latest that is known."""
    host = provider.add_host()
    provider.meetergo.appointments[provider.book(host)]["createdAt"] = created_at
    provider.reconcile()
    with provider.harness.services.database.read_only() as session:
        assert not [at for at in session.scalars(select(ReconcileCursor.created_until)) if at and at > provider.clock()]


def test_a_host_who_takes_longer_than_a_run_does_not_starve_the_others(provider: Provider) -> None:
    hosts = [provider.add_host(number) for number in (1, 2)]
    for number in range(12):
        provider.book(hosts[0], number)
    provider.deliver_all()
    provider.meetergo.appointments.clear()
    new = provider.book(hosts[1])
    first = provider.reconcile(should_stop=after(8))
    assert (first.hosts, first.left) == (0, 3)
    second = provider.reconcile(should_stop=after(8))
    assert (second.hosts, second.left) == (2, 1)
    assert provider.harness.booking(new).status == "confirmed"


def test_a_host_who_was_interrupted_late_in_a_run_is_the_first_of_the_next(provider: Provider) -> None:
    """A host who is always reached late in a run would otherwise never be read completely."""
    hosts = [provider.add_host(number) for number in (1, 2)]
    for number in range(3):
        provider.book(hosts[1], number)
    provider.deliver_all()
    provider.meetergo.appointments.clear()
    assert provider.reconcile(should_stop=after(5)).hosts == 1
    assert provider.reconcile(should_stop=after(5)).hosts == 1
    assert len(swept(provider)) == 2


def test_many_deleted_bookings_are_looked_up_a_few_per_run(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.reconcile.host_comparison.MAX_LOOKUPS", 4)
    host = provider.add_host()
    booked = {provider.book(host, number) for number in range(6)}
    provider.deliver_all()
    provider.meetergo.appointments.clear()
    seen: set[str] = set()
    for _ in range(100):
        unknown = provider.reconcile(only="1").unknown
        assert len(unknown) == 4
        seen.update(unknown)
        if seen == booked:
            break
    assert seen == booked


@ON_SQLITE
def test_an_unmapped_acting_user_is_ordered_like_the_others(provider: Provider) -> None:
    provider.add_host()
    assert provider.reconcile(should_stop=after(2)).hosts == 1
    provider.reconcile(should_stop=after(2))
    assert provider.meetergo.company.admin_id in swept(provider)


@ON_SQLITE
def test_a_run_that_was_killed_loses_nothing_and_the_next_one_repeats_one_host(
    three_hosts: Provider, tmp_path: Path
) -> None:
    three_hosts.meetergo.inject_faults(LISTS, None, "time_out")  # the second host's request hangs
    victim = ForkedProcess(
        Program("console", ["reconcile"]), tmp_path, tmp_path / "victim.log", three_hosts.environment()
    )
    while three_hosts.meetergo.requests[LISTS] < 2:
        assert victim.poll() is None
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert len(swept(three_hosts)) == 1
    assert [row.ended_at for row in three_hosts.harness.all(Reconciliation)] == [None]
    three_hosts.harness.services.job_queue.redis.delete(f"meetergo-inbox:turn:{LOCK_NAME}")  # as it would end by itself
    three_hosts.meetergo.requests.clear()
    report = three_hosts.reconcile()
    assert (report.hosts, len(report.drifts), three_hosts.meetergo.requests[LISTS]) == (4, 3, 4)
    assert three_hosts.harness.notification_kinds() == ["created"] * 3
    assert len(three_hosts.reconciled()) == 3


@ON_SQLITE
def test_a_second_run_at_the_same_time_says_so_and_reads_nothing(three_hosts: Provider) -> None:
    with exclusive(three_hosts.harness.services.job_queue.redis, LOCK_NAME):
        with pytest.raises(AlreadyRunning):
            three_hosts.reconcile()
    assert three_hosts.meetergo.requests.total() == 0
    assert three_hosts.reconcile().is_clean


@ON_SQLITE
def test_the_lock_of_a_dead_run_expires(provider: Provider) -> None:
    redis = provider.harness.services.job_queue.redis
    with exclusive(redis, "a test"):
        assert 0 < redis.pttl("meetergo-inbox:turn:a test") <= LOCK_TTL.total_seconds() * 1000


@ON_SQLITE
def test_a_run_renews_its_lock_before_each_request(three_hosts: Provider) -> None:
    redis, left = three_hosts.harness.services.job_queue.redis, list[int]()

    def almost_expires() -> bool:
        left.append(redis.pttl("meetergo-inbox:turn:reconcile"))
        redis.pexpire("meetergo-inbox:turn:reconcile", 10_000)
        return False

    three_hosts.reconciler().run(should_stop=almost_expires)
    assert len(left) > three_hosts.meetergo.requests[LISTS]
    assert min(left) > 10_000
    assert not redis.exists("meetergo-inbox:turn:reconcile")


@ON_SQLITE
def test_a_run_that_lost_its_lock_goes_on(three_hosts: Provider) -> None:
    redis = three_hosts.harness.services.job_queue.redis

    def take_the_lock() -> bool:
        redis.set("meetergo-inbox:turn:reconcile", "another")
        return False

    assert three_hosts.reconciler().run(should_stop=take_the_lock).hosts == 4
    assert redis.get("meetergo-inbox:turn:reconcile") == b"another"


def test_concurrent_runs_do_no_harm(three_hosts: Provider) -> None:
    """Even if the lock is lost: the same drift is the same delivery."""
    reconcilers = [three_hosts.reconciler() for _ in range(3)]
    for reconciler in reconcilers:
        reconciler.run()
    three_hosts.process_due()
    assert three_hosts.harness.notification_kinds() == ["created"] * 3
    assert len(three_hosts.reconciled()) == 3


@pytest.mark.parametrize("is_first", [True, False], ids=["webhook handled first", "reading handled first"])
def test_a_webhook_that_arrives_while_the_list_is_read_wins(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    """The list shows the earlier state; the cancel came after it."""
    host = provider.add_host()
    booking_id = provider.book(host)
    provider.deliver_all()
    provider.meetergo.actions.reschedule(booking_id, free_start(3))
    read = HostAppointments.newest_first

    def slowly(appointments: HostAppointments, since: Any) -> Iterator[Appointment]:
        page = list(read(appointments, since))
        provider.meetergo.actions.cancel(booking_id, "Schedule conflict")
        provider.harness.deliver(webhook(provider.meetergo, provider.meetergo.appointments[booking_id]))
        if is_first:
            provider.harness.process_due()
        return iter(page)

    monkeypatch.setattr(HostAppointments, "newest_first", slowly)
    provider.reconcile(only="1")
    booking = provider.harness.booking(booking_id)
    assert (booking.status, booking.cancel_reason, booking.starts_at) == (
        "cancelled",
        "Schedule conflict",
        free_start(3),
    )
    assert provider.harness.notification_kinds()[-1] == "cancelled"
    monkeypatch.undo()
    assert provider.reconcile().drifts == []


def test_bookings_made_during_a_run_are_found_by_it_or_the_next(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = provider.add_host()
    for number in range(150):
        provider.book(host, number)
    read = HostAppointments.newest_first

    def while_others_book(appointments: HostAppointments, since: Any) -> Iterator[Appointment]:
        for count, appointment in enumerate(read(appointments, since)):
            if count == 60:
                for number in range(150, 170):
                    provider.book(host, number)
            yield appointment

    monkeypatch.setattr(HostAppointments, "newest_first", while_others_book)
    found = {drift.booking_id for drift in provider.reconciler().run().drifts}
    monkeypatch.undo()
    found |= {drift.booking_id for drift in provider.reconciler().run().drifts}
    assert found == set(provider.meetergo.appointments)


@ON_SQLITE
def test_the_scheduler_runs_it_with_a_key_and_stops_on_request(
    three_hosts: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in three_hosts.environment().items():
        monkeypatch.setenv(name, value)
    settings, stop = ScheduleSettings.load(), StopEvent()
    limit = timedelta(minutes=8)
    task = partial(reconcile_on_schedule, settings, max_duration=limit, stop=stop, account=DEFAULT)
    with exclusive(three_hosts.harness.services.job_queue.redis, LOCK_NAME):
        assert task(three_hosts.harness.services, three_hosts.clock()) is None, "another scheduler does it"
    task(three_hosts.harness.services, three_hosts.clock())
    three_hosts.process_due()
    assert [(row.hosts, row.error) for row in three_hosts.harness.all(Reconciliation)] == [(4, None)]
    assert len(three_hosts.harness.all(Booking)) == 3
    stop.set()
    task(three_hosts.harness.services, three_hosts.clock())
    assert [row.hosts for row in three_hosts.harness.all(Reconciliation)] == [4, 0]


@ON_SQLITE
def test_the_cron_process_of_the_procfile_reconciles_if_it_has_a_key(three_hosts: Provider, tmp_path: Path) -> None:
    patience = time.monotonic() + 60
    with processes(three_hosts.environment(), tmp_path, ["cron"]) as logs:
        while not [row for row in three_hosts.harness.all(Reconciliation) if row.ended_at]:
            assert time.monotonic() < patience, logs["cron"].read_text()
            time.sleep(0.1)
    assert len(three_hosts.reconciled()) == 3
    printed = logs["cron"].read_text()
    assert "reconcile.done" in printed
    assert three_hosts.meetergo.key not in printed
    assert "example.com" not in printed


def test_a_failed_scheduled_run_is_recorded(three_hosts: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    three_hosts.meetergo.expire(three_hosts.meetergo.key)
    for name, value in three_hosts.environment().items():
        monkeypatch.setenv(name, value)
    settings, limits = ScheduleSettings.load(), dict[str, Any](max_duration=timedelta(minutes=8), stop=StopEvent())
    reconcile_on_schedule(settings, three_hosts.harness.services, three_hosts.clock(), account=DEFAULT, **limits)
    assert "make a new key" in three_hosts.harness.all(Reconciliation)[0].error


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_repair_beside_an_operators_replay_of_the_same_deliveries_ends(provider: Provider) -> None:
    """Both lock them in the order of their ids, however they lie on the disk."""
    host, database = provider.add_host(), provider.harness.services.database
    for number in range(2):
        provider.book(host, number)
    provider.reconcile()
    low, high = sorted(row.id for row in provider.reconciled())
    with database.transaction() as session:
        session.execute(delete(Booking))
    with database.transaction() as session:
        session.execute(update(Delivery).where(Delivery.id == low).values(note="the newest version on the disk"))

    def is_waited_for() -> bool:
        with database.read_only() as session:
            return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as operator:
            Delivery.get_for_update(operator, [low])
            run = pool.submit(provider.reconciler().run)
            wait_until(is_waited_for)
            Delivery.get_for_update(operator, [high])
        assert len(run.result().drifts) == 2
