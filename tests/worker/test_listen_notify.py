"""DATABASE_NOTIFY: PostgreSQL's listeners are notified of each committed change of a booking, and of nothing else."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from devtools.send import samples
from models.booking import Booking, BookingChange
from models.search import RowSearch
from operations.replay.dry_run import dry_run
from operations.replay.selection import select_deliveries
from operations.replay.service import ReplayService
from tests.worker.harness import AT, START, Harness, later
from worker.inbox import listen_notify, processor
from worker.maintenance.sweeper import link_new_users
from worker.settings import WorkerSettings

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
QUIET_SECONDS = 0.1
Listen = Callable[[int], list[dict[str, Any]]]


def hook(session: Session, booking: Booking, change: BookingChange) -> None:
    """Deliveries are handled one by one where there is a hook."""


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(database_notify="true")


@pytest.fixture
def received(database_url: str) -> Iterator[Listen]:
    """Returns the payloads of at least N notifications, and what follows at once."""
    url = database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {listen_notify.CHANNEL}")

        def wait_for(number: int) -> list[dict[str, Any]]:
            found = list(connection.notifies(timeout=60, stop_after=number)) if number else []
            found += connection.notifies(timeout=QUIET_SECONDS)
            return [json.loads(each.payload) for each in found]

        yield wait_for


def payloads(*pairs: tuple[str, int]) -> list[dict[str, Any]]:
    return [{"booking_id": booking_id, "revision": revision} for booking_id, revision in pairs]


def moved(booking_id: str = "b1", minute: int = 1) -> dict[str, Any]:
    return samples.rescheduled(booking_id, START + timedelta(minutes=minute), later(minute), START)


@on_postgresql
def test_each_change_is_received_once_with_its_revision(harness: Harness, received: Listen) -> None:
    harness.process(samples.created("b1", START, AT), moved(), moved(), samples.cancelled("b1", START, later(2)))
    assert received(3) == payloads(("b1", 1), ("b1", 2), ("b1", 3))


@on_postgresql
def test_a_batch_takes_one_statement_and_tells_the_newest_revision_of_each_booking(
    harness: Harness, received: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[Sequence[str]] = []
    notify = listen_notify.NOTIFY

    def execute(session: Session, statement: Any, parameters: Any = None, **options: Any) -> Any:
        if statement is notify:
            statements.append(parameters["payloads"])
        return original(session, statement, parameters, **options)

    original = Session.execute
    monkeypatch.setattr(Session, "execute", execute)
    monkeypatch.setattr(processor, "MAX_BATCH_TIME", timedelta(minutes=1))
    harness.deliver(
        *(samples.created(f"b{number}", START, AT) for number in range(30)),
        *(moved("b7", minute) for minute in range(1, 6)),
    )
    harness.process_due()
    newest = {change.booking_id: change.revision for change in harness.changes()}
    assert newest["b7"] > 1
    assert sorted(map(str, received(30))) == sorted(map(str, payloads(*newest.items())))
    assert [len(each) for each in statements] == [30]


@on_postgresql
def test_deliveries_that_are_handled_alone_are_received_too(
    open_harness: Callable[..., Harness], received: Listen
) -> None:
    harness = open_harness(database_notify="true", platform_hook=f"{__name__}:hook")
    harness.process(samples.created("b1", START, AT), moved())
    assert received(2) == payloads(("b1", 1), ("b1", 2))


@on_postgresql
def test_a_booking_that_gets_its_owner_is_received(harness: Harness, received: Listen) -> None:
    harness.process(samples.created("b1", START, AT))
    harness.add_user(meetergo_user_id=samples.HOST_ID)
    link_new_users(harness.services, datetime.now(UTC))
    assert received(2) == payloads(("b1", 1), ("b1", 2))


@on_postgresql
def test_a_booking_that_was_moved_to_another_is_received(harness: Harness, received: Listen) -> None:
    harness.process(samples.created("b1", START, AT))
    body = moved("b2")
    body["data"]["appointmentId"] = "b1"
    harness.process(body)
    changed = [(change.booking_id, change.revision) for change in harness.changes()]
    assert sorted(map(str, received(len(changed)))) == sorted(map(str, payloads(*changed)))


@on_postgresql
def test_what_is_rolled_back_is_not_received(harness: Harness, received: Listen) -> None:
    harness.process(samples.created("b1", START, AT))
    assert received(1) == payloads(("b1", 1))
    with harness.services.database.transaction() as session:
        session.execute(delete(Booking))
    chosen = select_deliveries(harness.services.inbox, RowSearch().deliveries()).chosen
    assert dry_run(ReplayService(harness.services, "the operator"), chosen).booking_diffs
    assert received(0) == []


@on_postgresql
def test_a_full_queue_stops_no_booking(harness: Harness, received: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_notify, "MAX_QUEUE_USAGE", 0)
    harness.process(samples.created("b1", START, AT))
    assert (received(0), harness.booking().revision) == ([], 1)


@on_postgresql
def test_the_longest_id_fits(harness: Harness, received: Listen) -> None:
    booking_id = "\U0001f600" * 255
    harness.process(samples.created(booking_id, START, AT))
    assert received(1) == payloads((booking_id, 1))


@on_postgresql
def test_nothing_is_sent_unless_it_is_asked_for(open_harness: Callable[..., Harness], received: Listen) -> None:
    harness = open_harness()
    harness.process(samples.created("b1", START, AT))
    assert received(0) == []


def test_sqlite_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"DATABASE_NOTIFY": "true", "DATABASE_URL": "sqlite:///x.db", "REDIS_URL": "redis://h"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        WorkerSettings.load()
    assert stopped.value.code == 2
    assert "DATABASE_NOTIFY needs PostgreSQL" in capsys.readouterr().err
