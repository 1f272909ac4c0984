"""`status`: numbers, findings, and the commands that help."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NobodyThere
from redis.exceptions import ResponseError
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer
from sqlalchemy import Engine, event, text, update

from devtools.send import samples
from models.account import DEFAULT
from models.delivery import Delivery, NewDelivery, pack
from models.incident import Incident
from models.migrate import migrate
from models.reconciliation import Reconciliation
from operations.checks import RENEW_API_KEY, run_checks
from operations.status import StatusSettings, take_snapshot
from operations.store_errors import store_error_message
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.outage import Outage
from runtime.queue import QUEUES, JobQueue
from runtime.redis import deferred_deliveries, heartbeat
from runtime.redis.client import DEFAULT_PREFIX, connect
from runtime.redis.heartbeat import TASKS
from tests.broken_databases import read_only_database
from tests.console.cli import ON_SQLITE, run_cli, run_cli_json
from tests.console.terminal import terminal
from tests.worker.harness import AT, START, Harness
from tests.worker.observed_incidents import OBSERVED
from tests.worker.test_refused_jobs import work
from worker import scheduler
from worker.scheduler import SCHEDULE


@pytest.fixture
def healthy(harness: Harness, redis: Redis) -> Iterator[Harness]:
    """A harness with a worker for each queue, and a running scheduler."""
    queues = [JobQueue(redis).queue(name) for name in QUEUES]
    worker = Worker(queues, connection=redis, serializer=JSONSerializer)
    worker.register_birth()
    for task in SCHEDULE:
        heartbeat.record(redis, task, datetime.now(UTC) + timedelta(seconds=12), timedelta(minutes=1))
    yield harness
    worker.register_death()


def looked() -> tuple[int, dict[str, Any]]:
    done = run_cli("status", "--json")
    return done.exit_code, json.loads(done.stdout)


def findings() -> list[tuple[str, str | None]]:
    code, seen = looked()
    assert code == (1 if seen["concerns"] else 0)
    assert seen["needs_person"] == bool(seen["concerns"])
    return [(concern["what"], concern["command"]) for concern in seen["concerns"]]


def test_a_healthy_system_has_no_findings(healthy: Harness) -> None:
    healthy.process(b'{"webhookType":"form_submission"}')
    done = run_cli("status")
    assert done.exit_code == 0, done.stdout
    assert "Nothing needs a person." in done.stdout
    assert "sweep in 1" in done.stdout
    _, seen = looked()
    assert seen["boxes"]["inbox"] | {"per_minute": 0} == {
        "waiting": 0,
        "oldest_waiting_at": None,
        "oldest_waiting_seconds": None,
        "done": 1,
        "dead": 0,
        "per_minute": 0,
        "jobs_queued": 0,
        "jobs_scheduled": 0,
        "jobs_failed": 0,
        "workers": 1,
    }
    assert seen["boxes"]["inbox"]["per_minute"] == seen["accepted_per_minute"] == 0.2
    assert set(seen["next_runs"]) == set(SCHEDULE) == set(TASKS)
    assert seen["api_key_days_left"] is None


@ON_SQLITE
def test_a_misspelt_setting_is_noted_and_needs_no_person(
    healthy: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "settings" not in run_cli("status").stdout
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTIFY_DEFAULT", raising=False)
    (tmp_path / ".env").write_text("NOTIFY_DEFUALT=log:\nAPP_PORT=8080\n")
    assert "NOTIFY_DEFUALT in .env is not a setting: did you mean NOTIFY_DEFAULT?" in run_cli("status").stdout
    assert findings() == []
    assert looked()[1]["misspelt_settings"] == {"NOTIFY_DEFUALT": "NOTIFY_DEFAULT"}


def test_dead_rows_need_a_person(healthy: Harness) -> None:
    healthy.process(b"not json")
    assert findings() == [("1 delivery is dead", "bin/inbox deliveries list --status dead")]
    healthy.process(b"nor this")
    sheet = run_cli("status").stdout
    assert sheet.endswith("  2 deliveries are dead\n      bin/inbox deliveries list --status dead\n")


def test_an_open_incident_is_shown_until_it_is_closed(healthy: Harness) -> None:
    assert looked()[1]["incidents"] == {}
    began = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    with healthy.services.database.transaction() as session:
        Incident.record_state(session, DEFAULT, "deliveries_dead", True, [], began)
    code, seen = looked()
    assert (code, seen["incidents"]) == (0, {"deliveries_dead": began.isoformat()})
    assert "deliveries dead, since 2026-03-01 12:00:00" in run_cli("status").stdout


@ON_SQLITE
def test_what_the_scheduler_has_noticed_needs_a_person(healthy: Harness) -> None:
    with healthy.services.database.transaction() as session:
        for kind, details in OBSERVED.items():
            Incident.record_state(session, DEFAULT, kind, True, [], datetime.now(UTC), details)
    assert findings() == [
        ("the webhook at meetergo posts to another address, at other.example", "bin/inbox webhook register"),
        ("2 bookings known only from reconcile, not from a webhook", "bin/inbox webhook list"),
        ("no webhook has arrived since 2027-01-20 16:07 UTC, which is unusual", "bin/inbox webhook list"),
        ("meetergo refuses the API key: it has expired", RENEW_API_KEY),
        ("the certificate of inbox.example ends in 3 days", None),
        (
            "a host of meetergo is not a platform user (h1), and 2 bookings wait for an owner",
            "bin/inbox users sync --dry-run",
        ),
    ]


@ON_SQLITE
def test_what_the_scheduler_no_longer_notices_needs_nobody(healthy: Harness) -> None:
    now = datetime.now(UTC)
    with healthy.services.database.transaction() as session:
        for account, holds in ((DEFAULT, True), ("acme", True), (DEFAULT, False), ("acme", False)):
            for kind in OBSERVED:
                Incident.record_state(session, account, kind, holds, [], now, OBSERVED[kind] if holds else None)
    assert findings() == []
    assert set(looked()[1]["incidents"]) == set(OBSERVED)


def test_a_row_that_waits_too_long_needs_a_person(healthy: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.deliver(b"{}")
    with healthy.services.database.transaction() as session:
        session.execute(update(Delivery).values(received_at=datetime.now(UTC) - timedelta(minutes=4)))
    assert findings() == []
    monkeypatch.setenv("ALERT_WAITING_SECONDS", "200")
    assert findings() == [("1 delivery waiting, the oldest for 4 min", "bin/inbox deliveries list --status pending")]


@ON_SQLITE
def test_missing_processes_need_a_person(harness: Harness) -> None:
    assert findings() == [
        ("no worker runs for the inbox and the outbox", "python -m worker"),
        ("the scheduler is not running", "python -m worker.scheduler"),
    ]


@ON_SQLITE
@pytest.mark.parametrize(
    ("days", "sentence"),
    [(30, None), (14, "ends in 14 days"), (1, "ends in 1 day"), (0, "ends today"), (-1, "has ended")],
)
def test_an_api_key_that_ends_soon_needs_a_person(
    healthy: Harness, monkeypatch: pytest.MonkeyPatch, days: int, sentence: str | None
) -> None:
    monkeypatch.setenv("MEETERGO_API_KEY_EXPIRES", (datetime.now(UTC).date() + timedelta(days=days)).isoformat())
    assert looked()[1]["api_key_days_left"] == days
    assert [what for what, _ in findings()] == ([f"the API key of meetergo {sentence}"] if sentence else [])


@ON_SQLITE
def test_a_malformed_key_date_is_a_bad_setting(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEETERGO_API_KEY_EXPIRES", "soon")
    done = run_cli("status")
    assert done.exit_code == 2
    assert "MEETERGO_API_KEY_EXPIRES cannot be used" in done.stderr


@ON_SQLITE
@pytest.mark.parametrize(
    ("setting", "url", "sentence"),
    [
        (
            "DATABASE_URL",
            "postgresql://u:its-password@127.0.0.1:1/x",
            "the database does not answer: connection failed",
        ),
        ("REDIS_URL", "redis://:its-password@127.0.0.1:1/0", "Redis does not answer: Error 111"),
    ],
)
def test_a_store_that_is_down_needs_a_person_and_the_other_is_shown(
    healthy: Harness, monkeypatch: pytest.MonkeyPatch, setting: str, url: str, sentence: str
) -> None:
    job_queue = healthy.services.job_queue
    if setting == "DATABASE_URL":  # for minutes: only the alerts of the scheduler still complete
        ran = set(job_queue.redis.keys("meetergo-inbox:ran:*"))
        job_queue.redis.delete(*ran - set(job_queue.redis.keys("meetergo-inbox:ran:*:alerts")))
    monkeypatch.setenv(setting, url)
    code, seen = looked()
    assert code == 1
    assert seen["concerns"][0]["what"].startswith(sentence)
    assert [seen["database"]["answers"], seen["redis"]["answers"]] == (
        [False, True] if setting == "DATABASE_URL" else [True, False]
    )
    assert len(seen["concerns"]) == 1
    done = run_cli("status")
    assert (done.exit_code, "down" in done.stdout) == (1, True)
    assert "its-password" not in done.output


def test_a_rejection_by_redis_is_distinguished_from_silence() -> None:
    assert store_error_message(ResponseError("MISCONF it cannot save")) == "Redis refuses: MISCONF it cannot save"
    assert store_error_message(NobodyThere("nobody there")) == "Redis does not answer: nobody there"


def test_missing_tables_are_a_finding_with_the_command_that_creates_them(
    healthy: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bare.db").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/bare.db")
    assert findings() == [("the database does not have the tables of this version", "bin/inbox migrate")]
    assert looked()[1]["database"] == {"answers": True, "is_up_to_date": False}
    assert run_cli("migrate").exit_code == 0
    assert findings() == []


def test_tables_of_an_earlier_version_are_a_finding(
    healthy: Harness, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    earlier = Database(f"sqlite:///{tmp_path}/earlier.db")
    migrate(earlier.engine, "0001")
    earlier.close()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/earlier.db")
    assert findings() == [("the database does not have the tables of this version", "bin/inbox migrate")]
    assert looked()[1]["database"] == {"answers": True, "is_up_to_date": False}


def test_the_version_of_the_database_is_read_once(healthy: Harness) -> None:
    statements: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", record)
    try:
        assert findings() == []
    finally:
        event.remove(Engine, "before_cursor_execute", record)
    assert sum("version_num" in each for each in statements) == 1


def reconciled(harness: Harness, began: timedelta, ended: timedelta | None = None, **found: Any) -> None:
    """Store a run that began and ended this long ago."""
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        session.add(
            Reconciliation(started_at=now - began, ended_at=now - ended if ended is not None else None, **found)
        )


MINUTE = timedelta(minutes=1)


def test_the_last_reconciliation_is_shown(healthy: Harness) -> None:
    assert looked()[1]["reconcile"] is None
    reconciled(healthy, 30 * MINUTE, 29 * MINUTE, error="the key has ended")
    reconciled(healthy, 6 * MINUTE, 5 * MINUTE, hosts=3, appointments=9, missed=2, revived=1, unknown=4)
    reconciled(healthy, MINUTE)
    code, seen = looked()
    assert (code, seen["reconcile"]["last"]["missed"], seen["reconcile"]["last"]["error"]) == (0, 2, None)
    assert "5 min ago: 9 appointments of 3 hosts, 3 differed, 4 unknown to meetergo" in run_cli("status").stdout


def test_a_reconcile_that_could_not_read_everything_needs_a_person(healthy: Harness) -> None:
    reconciled(healthy, 12 * MINUTE, 11 * MINUTE, error="the key has ended")
    reconciled(healthy, MINUTE)
    what = "reconcile cannot read everything: the key has ended"
    assert findings() == [(what, "bin/inbox reconcile --dry-run")]
    reconciled(healthy, MINUTE, MINUTE / 2)
    assert findings() == []


@pytest.mark.parametrize(
    ("runs", "is_wrong"),
    [
        ([(59, None)], False),
        ([(61, None), (5, None)], True),
        ([(200, None), (100, 95), (30, None)], False),
        ([(200, 195), (100, None), (30, None)], True),
        ([(400, 395), (5, None)], False),
        ([(25 * 60, None)], False),
    ],
    ids=["it runs", "none ended", "one was killed", "none ended since", "cron was off", "nobody reconciles any more"],
)
def test_runs_that_do_not_end_need_a_person(
    healthy: Harness, runs: list[tuple[int, int | None]], is_wrong: bool
) -> None:
    for began, ended in runs:
        reconciled(healthy, began * MINUTE, ended and ended * MINUTE)
    assert ["no run has ended since" in what for what, _ in findings()] == ([True] if is_wrong else [])


@ON_SQLITE
def test_an_unused_reconcile_is_no_finding(healthy: Harness) -> None:
    reconciled(healthy, timedelta(hours=25), timedelta(hours=25), error="the key has ended")
    assert findings() == []


@ON_SQLITE
def test_watch_and_json_exclude_each_other(harness: Harness) -> None:
    done = run_cli("status", "--watch", "--json")
    assert done.exit_code == 2


@ON_SQLITE
def test_watch_refreshes_until_ctrl_c(healthy: Harness) -> None:
    with terminal("status", "--watch") as screen:
        screen.wait_for("Nothing needs a person.")
        healthy.process(b"not json")
        screen.wait_for("1 delivery is dead")
        screen.press_ctrl_c()
        code = screen.end()
    assert code == 0
    assert "Traceback" not in screen.text


@ON_SQLITE
def test_an_alert_that_reaches_nobody_is_a_finding(healthy: Harness) -> None:
    with healthy.services.database.transaction() as session:
        began_at = datetime.now(UTC) - timedelta(minutes=3)
        session.add(Incident(kind="webhooks_missed", began_at=began_at, notified={"a": "began", "b": "nothing"}))
    what = "1 alert channel does not take the alert of an open incident (alert.failed in the scheduler's log says why)"
    assert findings() == [(what, None)]


@ON_SQLITE
def test_it_fits_a_narrow_terminal(healthy: Harness) -> None:
    with terminal("status", columns=80) as screen:
        assert screen.end() == 0
    head = next(line for line in screen.text.splitlines() if line.startswith("queue"))
    assert head.split() == [
        *("queue", "waiting", "oldest", "done", "dead"),
        "/min",
        "jobs",
        "delayed",
        "failed",
        "workers",
    ]
    assert max(map(len, screen.text.splitlines())) <= 80


@ON_SQLITE
def test_a_scheduled_task_that_never_completes_is_a_finding(healthy: Harness) -> None:
    healthy.services.job_queue.redis.delete(*healthy.services.job_queue.redis.keys("meetergo-inbox:ran:*:failed_jobs"))
    assert findings() == [("the scheduler does not complete: failed jobs (see its log)", None)]


@ON_SQLITE
def test_a_scheduler_that_is_not_upgraded_yet_calls_a_task_by_its_old_name(healthy: Harness) -> None:
    redis = healthy.services.job_queue.redis
    heartbeat.record(redis, "filing", datetime.now(UTC), timedelta(minutes=1))
    assert {"filing", "failed_jobs"} & heartbeat.next_runs(redis).keys() == {"failed_jobs"}
    assert heartbeat.next_runs(redis)["failed_jobs"] > datetime.now(UTC)
    redis.delete(*redis.keys("meetergo-inbox:ran:*:failed_jobs"))
    assert findings() == []


def test_deliveries_that_fail_repeatedly_are_reported_at_once(
    open_harness: Callable[..., Harness], healthy: Harness
) -> None:
    harness = open_harness(platform_hook=f"{__name__}:bad_hook")
    ids = harness.deliver(*(samples.created(f"b{number}", START, AT) for number in range(3)))
    harness.process_due()
    assert findings() == []
    for delivery_id in ids:
        with harness.services.database.transaction() as session:
            session.get_one(Delivery, delivery_id).due_at = AT
        harness.process_due()
    [(what, command)] = findings()
    assert what.startswith("3 deliveries fail repeatedly (KeyError")
    assert "its-own-secret" not in what
    assert command == "bin/inbox deliveries errors"


def bad_hook(_session: object, _booking: object, _change: object) -> None:
    raise KeyError("its-own-secret")


@contextmanager
def connections_that_only_read() -> Iterator[None]:
    """On SQLite, new connections cannot write."""

    def only_read(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute("PRAGMA query_only = ON")

    event.listen(Engine, "connect", only_read)
    try:
        yield
    finally:
        event.remove(Engine, "connect", only_read)


def test_a_database_that_cannot_be_written_needs_a_person(healthy: Harness) -> None:
    healthy.services.job_queue.enqueue_store(
        pack(NewDelivery.from_body(b"{}", "default", datetime.now(UTC), healthy.services.inbox.cipher))
    )
    with read_only_database(healthy.services.database), connections_that_only_read():
        code, seen = looked()
        assert code == 1
        assert seen["database_can_be_written"] is False
        first, second, *_ = findings()
        assert first[0].startswith("the database answers, but cannot be written: ")
        assert first[0].endswith(". Webhooks are kept until it can")
        assert second[0].startswith("1 webhook is in Redis only, the oldest for ")
        assert second[0].endswith(": do not restart or empty it")
        assert "answers, but cannot be written" in run_cli("status").stdout


@ON_SQLITE
def test_redis_that_is_full_needs_a_person_and_is_still_read(healthy: Harness, redis: Redis) -> None:
    redis.config_set("maxmemory", 1)
    try:
        ((what, _command),) = findings()
        shown = run_cli("status").stdout
    finally:
        redis.config_set("maxmemory", 0)
    assert what.startswith("Redis cannot be written: OOM ")
    assert "answers, but cannot be written" in shown
    assert "schedule" in shown


@contextmanager
def failing_trigger(database: Database) -> Iterator[None]:
    """A trigger of the platform that writes to a table which is not there any more."""
    end = "DROP TRIGGER audit"
    if database.supports_skip_locked:
        audit = (
            "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit_log VALUES (1); END'"
        )
        trigger = "CREATE TRIGGER audit AFTER UPDATE ON meetergo_inbox.deliveries FOR EACH ROW EXECUTE FUNCTION audit()"
        begin, end = [audit, trigger], "DROP FUNCTION audit CASCADE"
    else:
        begin = ["CREATE TRIGGER audit AFTER UPDATE ON deliveries BEGIN INSERT INTO audit_log VALUES (1); END"]
    with database.transaction() as session:
        for statement in begin:
            session.execute(text(statement))
    try:
        yield
    finally:
        with database.transaction() as session:
            session.execute(text(end))


def test_a_trigger_that_keeps_deliveries_from_ending_is_named_at_once(healthy: Harness) -> None:
    with failing_trigger(healthy.services.database):
        (what, _command), *_ = findings()
    assert what.startswith("the database answers, but cannot be written: ")
    assert "audit_log" in what


@ON_SQLITE
def test_what_is_in_redis_only_is_shown_while_the_database_is_down(
    healthy: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"{}", b"[]"):
        healthy.services.job_queue.enqueue_store(
            pack(NewDelivery.from_body(body, "default", datetime.now(UTC), healthy.services.inbox.cipher))
        )
    monkeypatch.setenv("DATABASE_URL", "postgresql://u@127.0.0.1:1/x")
    assert "2 webhooks are in Redis only" in run_cli("status").stdout
    assert looked()[1]["redis_only"]["count"] == 2


@ON_SQLITE
def test_a_redis_that_would_evict_webhooks_is_shown(healthy: Harness, redis: Redis) -> None:
    try:
        redis.config_set("maxmemory", "100mb")
        for policy in ("noeviction", "volatile-lru"):  # no webhook expires
            redis.config_set("maxmemory-policy", policy)
            assert findings() == []
        redis.config_set("maxmemory-policy", "allkeys-lru")
        ((what, _command),) = findings()
        redis.config_set("maxmemory", 0)
        assert findings() == []
    finally:
        redis.config_set("maxmemory", 0)
        redis.config_set("maxmemory-policy", "noeviction")
    assert what.startswith("Redis evicts keys when it is full (allkeys-lru), and may lose webhooks")


@ON_SQLITE
def test_a_killed_worker_is_not_counted(healthy: Harness, redis: Redis) -> None:
    for worker in Worker.all(redis):
        redis.expire(worker.key, 59)  # an idle one renews its registration long before
    assert [what for what, _ in findings()] == ["no worker runs for the inbox and the outbox"]


@ON_SQLITE
def test_dying_workers_are_counted(healthy: Harness, redis: Redis) -> None:
    queue = healthy.services.job_queue.queue("inbox")
    for pid in (7, 8, 9):
        worker = SimpleWorker([queue], connection=redis, serializer=JSONSerializer)
        worker.register_birth()
        redis.hset(worker.key, "pid", pid)
        heartbeat.record_death(redis, pid)
    assert [worker.pid for worker in Worker.all(queue=queue) if worker.pid in (7, 8, 9)] == []
    assert findings() == [
        (
            "workers of the inbox died 3 times in the last 10 min (see their log)",
            "bin/inbox deliveries list --status dead",
        )
    ]


def test_a_delivery_received_in_the_future_is_a_finding(healthy: Harness) -> None:
    healthy.process(b'{"webhookType":"form_submission"}')
    with healthy.services.database.transaction() as session:
        session.execute(update(Delivery).values(received_at=datetime.now(UTC) + timedelta(hours=3)))
    [(what, _)] = findings()
    assert what.startswith("1 delivery says it was received in the future")
    with healthy.services.database.transaction() as session:
        session.execute(update(Delivery).values(received_at=datetime.now(UTC) + timedelta(seconds=30)))
    assert findings() == []


def test_an_incident_that_is_over_is_marked(healthy: Harness) -> None:
    with healthy.services.database.transaction() as session:
        Incident.record_state(session, DEFAULT, "deliveries_dead", True, [], datetime.now(UTC))
    assert "over now, and closed if it stays so" in " ".join(run_cli("status").stdout.split())


@ON_SQLITE
def test_a_scheduler_with_a_wrong_clock_uses_the_time_of_redis(harness: Harness, redis: Redis) -> None:
    scheduler._run(
        "sweep", lambda _services, _now: None, harness.services, timedelta(seconds=15), Outage("schedule.failed")
    )
    moment = heartbeat.next_runs(redis)["sweep"]
    assert timedelta(0) < moment - heartbeat.redis_now(redis) <= timedelta(seconds=15)


@ON_SQLITE
def test_webhooks_in_a_queue_of_another_name_need_a_person(healthy: Harness, redis_url: str) -> None:
    other = JobQueue(connect(redis_url, "old", "old/0"))
    other.enqueue_store(pack(NewDelivery.from_body(b"{}", "default", datetime.now(UTC), BodyCipher([]))))
    [(what, command)] = findings()
    assert what.startswith("1 webhook is in the queue old-inbox")
    assert command == "bin/inbox adopt-queue old-inbox"
    assert "old-inbox holds 1 webhook that no worker stores." in run_cli("adopt-queue").stdout
    assert run_cli_json("adopt-queue") == {"queues": {"old-inbox": 1}}
    assert run_cli("adopt-queue", "old-inbox", "--yes").exit_code == 1
    assert run_cli_json("adopt-queue", "old-inbox", "--yes", "--all") == {"queue": "old-inbox", "taken": 1, "left": 0}
    assert "No webhook waits in old-inbox" in run_cli("adopt-queue", "old-inbox", "--yes").stdout
    assert "No webhook waits for a worker that would store it." in run_cli("adopt-queue").stdout
    assert healthy.services.job_queue.queue("inbox").count == 2  # the body and the trigger


@ON_SQLITE
def test_webhooks_of_the_former_database_under_the_same_prefix_need_a_person(healthy: Harness, redis_url: str) -> None:
    former = JobQueue(connect(redis_url, DEFAULT_PREFIX, f"{DEFAULT_PREFIX}/0123456789"))
    former.enqueue_store(pack(NewDelivery.from_body(b"{}", "default", datetime.now(UTC), BodyCipher([]))))
    queue = healthy.services.job_queue.queue("inbox").name
    assert [command for _, command in findings()] == [None]
    work(healthy.services.job_queue)
    [_, (what, command)] = findings()
    assert what.startswith(f"1 webhook is in the queue {queue}, and no worker stores it")
    assert command == f"bin/inbox adopt-queue {queue}"
    done = run_cli("adopt-queue", queue, "--yes")
    assert (done.exit_code, "1 were accepted for another database" in done.stderr) == (1, True)
    assert run_cli_json("adopt-queue", queue, "--yes", "--all") == {"queue": queue, "taken": 1, "left": 0}
    assert run_cli_json("adopt-queue", queue, "--yes", "--all") == {"queue": queue, "taken": 0, "left": 0}
    assert deferred_deliveries.read(former.redis).count == 1
    work(healthy.services.job_queue)
    assert len(healthy.all(Delivery)) == 1
    assert deferred_deliveries.read(former.redis).count == 0
    assert "No webhook waits for a worker" in run_cli("adopt-queue").stdout


@ON_SQLITE
def test_clocks_and_drains_without_an_outcome_need_a_person(healthy: Harness) -> None:
    services, now = healthy.services, datetime.now(UTC)
    snapshot = take_snapshot(StatusSettings.load(), services.database, services.job_queue, now)
    ago = snapshot.stats.at - timedelta(minutes=3)
    stats = replace(snapshot.stats, clock_lead=timedelta(minutes=-7), incidents={"processing_stuck": ago})
    said = [finding.what for finding in run_checks(replace(snapshot, stats=stats))]
    assert "this machine's clock is 7 min behind the database's: set it" in said
    assert "a drain ended without an outcome, 3 min ago (see the worker's log)" in said
