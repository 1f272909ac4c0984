"""Operators hear once that a person is needed, and once that it is over."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event, Thread

import pytest
from redis import Redis
from rq import Worker
from rq.serializers import JSONSerializer
from sqlalchemy import select, update

from devtools.send import samples
from models.delivery import Delivery
from models.incident import NOTIFYING_LEASE, RESOLVE_AFTER, WORTH_NOTIFYING, Incident
from models.notification import Notification
from models.reconciliation import Reconciliation
from models.stats import collect_stats
from runtime.database import Database
from runtime.queue import QUEUES, JobQueue
from tests.worker.desk import AT, START, Desk
from tests.worker.operators import Operators, operators
from worker import scheduler
from worker.maintenance.alerts import Alerts, UnusableAlert, open_alerts
from worker.settings import AlertSettings

NOW = datetime.now(UTC).replace(microsecond=0)
EACH = timedelta(seconds=15)


@pytest.fixture(autouse=True)
def workers(redis: Redis) -> Iterator[Worker]:
    """Each box has one."""
    queues = [JobQueue(redis).queue(box) for box in QUEUES]
    worker = Worker(queues, connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    yield worker
    worker.register_death()


@pytest.fixture
def crew_room() -> Iterator[Operators]:
    with operators() as channel:
        yield channel


@pytest.fixture
def second_room() -> Iterator[Operators]:
    with operators() as channel:
        yield channel


def alerts_to(*channels: Operators, patience: int = 300) -> Alerts:
    urls = [channel.url for channel in channels]
    return open_alerts(AlertSettings(alert_channels=urls, alert_waiting_seconds=patience))


def check(desk: Desk, alerts: Alerts, *seconds: float) -> None:
    """As often as the schedule would, at these times."""
    for after in seconds:
        alerts.check(desk.office, NOW + timedelta(seconds=after))


def let_die(desk: Desk) -> None:
    desk.deliver(b"not json")
    desk.work_off()


def repair(desk: Desk) -> None:
    with desk.office.database.transaction() as session:
        for row in session.scalars(select(Delivery)):
            row.finish(NOW)


def test_a_dead_delivery_is_told_once_and_again_when_it_is_over(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    check(desk, alerts, 0)
    assert crew_room.told == []
    let_die(desk)
    check(desk, alerts, 15, 30, 45)
    assert crew_room.subjects() == ["1 delivery is dead"]
    repair(desk)
    check(desk, alerts, 60, 75, 90, 105)
    assert crew_room.subjects() == ["1 delivery is dead"]
    check(desk, alerts, 120, 135)
    assert crew_room.subjects() == ["1 delivery is dead", "over: no delivery is dead any more"]
    assert [(row.began_at, row.ended_at) for row in desk.all(Incident)] == [(NOW + EACH, NOW + EACH * 4)]


def test_a_reconcile_that_stopped_working_is_told_until_a_run_reads_everything(
    desk: Desk, crew_room: Operators
) -> None:
    def run(error: str | None) -> None:
        with desk.office.database.transaction() as session:
            session.add(Reconciliation(started_at=datetime.now(UTC), ended_at=datetime.now(UTC), error=error))

    alerts = alerts_to(crew_room)
    run(None)
    check(desk, alerts, 0)
    assert crew_room.told == []
    run("the key of host@example.com has ended")
    check(desk, alerts, 15, 30)
    assert crew_room.subjects() == ["reconcile does not read everything"]
    assert "python -m console reconcile --dry-run" in crew_room.told[0][1]
    assert "example.com" not in crew_room.told[0][1]
    run(None)
    check(desk, alerts, 45, 120)
    assert crew_room.subjects()[1:] == ["over: reconcile reads everything again"]


def test_what_is_told_are_counts_times_and_commands_and_nothing_else(desk: Desk, crew_room: Operators) -> None:
    let_die(desk)
    desk.deliver(samples.created("b1", START, AT))
    with desk.office.database.transaction() as session:
        waits = Delivery.status == "pending"
        session.execute(update(Delivery).where(waits).values(received_at=NOW - timedelta(seconds=130)))
    check(desk, alerts_to(crew_room), 0)
    [(subject, text)] = crew_room.told
    assert subject == "meetergo-inbox: 1 delivery is dead"
    assert text.splitlines() == [
        f"Since {NOW:%Y-%m-%d %H:%M} UTC.",
        "Deliveries: 1 dead, 1 waiting, the oldest for 2 min.",
        "Notifications: 0 dead, 0 waiting.",
        "Most frequent cause: the body is not JSON.",
        "What to type next:",
        "  python -m console deliveries list --status dead",
        "  python -m console replay --dead --dry-run",
    ]


def test_a_dead_notification_and_a_row_that_waits_too_long_are_incidents_of_their_own(
    desk: Desk, crew_room: Operators
) -> None:
    desk.tell(samples.created("b1", START, AT), samples.created("b2", START, AT))
    with desk.office.database.transaction() as session:
        first, second = session.scalars(select(Notification).order_by(Notification.id))
        first.status, first.ended_at, second.created_at = "dead", NOW, NOW - timedelta(seconds=60)
    alerts = alerts_to(crew_room, patience=60)
    check(desk, alerts, 0)
    assert crew_room.subjects() == ["1 notification is dead"]
    check(desk, alerts, 1, 15)
    assert crew_room.subjects() == ["1 notification is dead", "1 notification waits, the oldest for 1 min"]


def test_what_comes_and_goes_is_one_incident(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    for turn in range(6):
        let_die(desk)
        desk.deliver(f"not json {turn}".encode())
        desk.work_off()
        check(desk, alerts, turn * 60)
        repair(desk)
        check(desk, alerts, turn * 60 + 15, turn * 60 + 45)
    assert crew_room.subjects() == ["2 deliveries are dead"]
    assert len(desk.all(Incident)) == 1
    check(desk, alerts, 400)
    assert len(crew_room.told) == 2


def test_what_comes_back_after_its_end_is_told_again(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    for hour in (0, 1):
        desk.deliver(f"not json {hour}".encode())
        desk.work_off()
        check(desk, alerts, hour * 3600)
        repair(desk)
        check(desk, alerts, hour * 3600 + 15, hour * 3600 + 15 + RESOLVE_AFTER.total_seconds())
    assert len(crew_room.told) == 4


def test_a_channel_that_fails_is_tried_until_it_hears_and_no_other_hears_twice(
    desk: Desk, crew_room: Operators, second_room: Operators
) -> None:
    alerts = alerts_to(second_room, crew_room)
    second_room.answer = 500
    let_die(desk)
    check(desk, alerts, 0, 15, 30)
    assert (len(second_room.told), len(crew_room.told)) == (0, 1)
    second_room.answer = 200
    check(desk, alerts, 45, 60)
    assert second_room.subjects() == crew_room.subjects() == ["1 delivery is dead"]


def test_an_incident_that_ended_before_it_could_be_told_is_told_once_as_over(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    crew_room.answer = 500
    let_die(desk)
    check(desk, alerts, 0)
    repair(desk)
    check(desk, alerts, 15, 90)
    crew_room.answer = 200
    check(desk, alerts, 105, 120)
    assert crew_room.subjects() == ["over: no delivery is dead any more"]
    assert "lasted 15 s" in crew_room.told[0][1]


def test_an_incident_that_nobody_could_be_told_for_a_day_is_let_be(desk: Desk, crew_room: Operators) -> None:
    alerts = alerts_to(crew_room)
    crew_room.answer = 500
    let_die(desk)
    check(desk, alerts, 0)
    repair(desk)
    check(desk, alerts, 15, 90)
    crew_room.answer = 200
    check(desk, alerts, 15 + WORTH_NOTIFYING.total_seconds())
    assert crew_room.told == []


def test_a_channel_that_is_new_hears_of_what_is_open_and_not_of_what_was(
    desk: Desk, crew_room: Operators, second_room: Operators
) -> None:
    let_die(desk)
    check(desk, alerts_to(crew_room), 0)
    check(desk, alerts_to(crew_room, second_room), 15)
    assert second_room.subjects() == crew_room.subjects() == ["1 delivery is dead"]
    repair(desk)
    check(desk, alerts_to(crew_room), 30, 90)
    with operators() as third_room:
        check(desk, alerts_to(crew_room, second_room, third_room), 105, 120)
        assert third_room.told == []
    assert len(crew_room.told) == len(second_room.told) == 2


def test_nothing_is_told_again_after_a_restart(desk: Desk, crew_room: Operators) -> None:
    let_die(desk)
    for after in (0, 15, 30):
        check(desk, alerts_to(crew_room), after)
    assert len(crew_room.told) == 1


def test_who_dies_while_telling_is_replaced_by_the_next_who_looks_after_a_while(
    desk: Desk, crew_room: Operators
) -> None:
    alerts = alerts_to(crew_room)
    let_die(desk)
    with desk.office.database.transaction() as session:
        Incident.note(session, "deliveries_dead", True, list(alerts.channels), NOW)
    with desk.office.database.transaction() as session:
        assert Incident.claim(session, list(alerts.channels), NOW)
    check(desk, alerts, 15, 45)
    assert crew_room.told == []
    check(desk, alerts, NOTIFYING_LEASE.total_seconds(), 75)
    assert len(crew_room.told) == 1


def test_several_schedules_at_once_tell_once(desk: Desk, crew_room: Operators, second_room: Operators) -> None:
    let_die(desk)
    start, broken = Barrier(4), list[BaseException]()

    def look() -> None:
        alerts = alerts_to(crew_room, second_room)
        try:
            for turn in range(4):
                start.wait()
                check(desk, alerts, turn * 15)
        except BaseException as error:
            broken.append(error)
            start.abort()

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert (len(crew_room.told), len(second_room.told)) == (1, 1)
    assert len(desk.all(Incident)) == 1


def test_two_who_claim_at_the_same_moment_do_not_both_get_it(database: Database) -> None:
    if not database.skips_locked:
        pytest.skip("SQLite lets one transaction begin after the other")
    with database.transaction() as session:
        Incident.note(session, "deliveries_dead", True, ["a", "b"], NOW)
    with database.transaction() as one, database.transaction() as other:
        assert Incident.claim(one, ["a", "b"], NOW)
        assert Incident.claim(other, ["a", "b"], NOW) is None


def test_without_channels_an_incident_is_kept_for_whoever_asks(desk: Desk) -> None:
    let_die(desk)
    check(desk, alerts_to(), 0)
    assert collect_stats(desk.office.database, desk.office.bell, NOW).incidents == {"deliveries_dead": NOW}


def test_the_log_says_that_something_was_told_and_where_but_not_the_address(
    desk: Desk, crew_room: Operators, capfd: pytest.CaptureFixture[str]
) -> None:
    crew_room.answer = 500
    let_die(desk)
    check(desk, alerts_to(crew_room), 0)
    crew_room.answer = 200
    check(desk, alerts_to(crew_room), 15)
    printed = "".join(capfd.readouterr())
    assert "alert.unheard" in printed
    assert "alert.told" in printed
    assert "the-" not in printed


def test_a_database_that_is_away_is_no_incident_and_no_traceback(
    desk: Desk, crew_room: Operators, tmp_path: object, capfd: pytest.CaptureFixture[str]
) -> None:
    nothing = Database(f"sqlite:///{tmp_path}/nothing.db")
    alerts_to(crew_room).check(replace(desk.office, database=nothing), NOW)
    nothing.close()
    assert "database.away" in "".join(capfd.readouterr())
    assert crew_room.knocks == 0


@pytest.mark.parametrize("url", ["s3cr3t", "nonsense://s3cr3t", "https://s3cr3t.example/x", "slack://s3cr3t"])
def test_a_channel_that_cannot_be_used_is_said_without_its_secret(url: str) -> None:
    with pytest.raises(UnusableAlert) as refused:
        open_alerts(AlertSettings(alert_channels=[url]))
    assert "s3cr3t" not in str(refused.value)


def test_a_task_that_hangs_holds_up_no_other(desk: Desk) -> None:
    stop, hung, ran = Event(), Event(), Event()

    def often(interval: float, task: Callable[[], object]) -> tuple[timedelta, scheduler.Task]:
        return timedelta(seconds=interval), lambda _office, _now: task()

    tasks = {
        "hangs": often(1, lambda: (hung.set(), stop.wait())),
        "runs": often(0.01, lambda: hung.is_set() and ran.set()),
    }
    thread = Thread(target=scheduler.run, args=(tasks, desk.office, stop))
    thread.start()
    assert ran.wait(30)
    stop.set()
    thread.join()
