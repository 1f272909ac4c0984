"""What the slow checks find is sent once with its cause, once when it is over, and anew when an end comes nearer."""

import re
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from models.account import DEFAULT
from models.endpoint import Endpoint
from models.incident import RESOLVE_AFTER, Incident, IncidentKind
from models.migrate import migrate
from models.stats import Stats
from tests.broken_databases import read_only_database
from tests.console.cli import ON_SQLITE
from tests.faults.databases import Cluster, cluster
from tests.faults.redis_server import RedisServer
from tests.worker.alert_receiver import AlertReceiver, alert_receiver
from tests.worker.harness import Harness
from tests.worker.provider import Provider
from worker import scheduler
from worker.maintenance.alert_text import WORDINGS, alert_text
from worker.maintenance.alerts import CHECKED_WITHOUT_DATABASE, Alerts, open_alerts
from worker.maintenance.observation import ABSENT, CAUSES, Observation
from worker.services import Services
from worker.settings import AlertSettings

NOW = datetime.now(UTC).replace(microsecond=0)
OPERATIONS = Path(__file__).parent.parent.parent / "docs" / "operations.md"
EXAMPLES: list[tuple[IncidentKind, dict[str, Any], str, str]] = [
    (
        "webhooks_silent",
        {"since": "2027-01-20T16:07:00+00:00", "confirmed": False},
        "warning",
        "no webhook has arrived since 2027-01-20 16:07 UTC, which is unusual",
    ),
    (
        "webhooks_silent",
        {"since": "2027-01-20T16:07:00+00:00", "confirmed": True},
        "warning",
        "no webhook has arrived since 2027-01-20 16:07 UTC, which is unusual, and reconcile finds none missing",
    ),
    ("webhooks_missed", {"number": 1}, "failure", "1 booking known only from reconcile, not from a webhook"),
    ("registration_lost", {"reason": "gone"}, "failure", "meetergo has no webhook for our address any more"),
    (
        "registration_lost",
        {"reason": "elsewhere", "host": "elsewhere"},
        "failure",
        "the webhook at meetergo posts to another address, at elsewhere",
    ),
    (
        "registration_lost",
        {"reason": "events", "events": ["booking_created", "new_employee"]},
        "failure",
        "the webhook at meetergo does not send booking_created, new_employee any more",
    ),
    ("api_key_refused", {"reason": "expired"}, "failure", "meetergo refuses the API key: it has expired"),
    ("api_key_refused", {"reason": "unknown"}, "failure", "meetergo refuses the API key"),
    ("api_key_expiring", {"days": 14, "level": 14}, "warning", "the API key of meetergo ends in 14 days"),
    ("api_key_expiring", {"days": 0, "level": 1}, "warning", "the API key of meetergo ends today"),
    ("api_key_expiring", {"days": -1, "level": 0}, "failure", "the API key of meetergo has ended"),
    (
        "certificate_expiring",
        {"host": "inbox", "days": 1, "level": 1},
        "warning",
        "the certificate of inbox ends in 1 day",
    ),
    (
        "certificate_expiring",
        {"host": "inbox", "reason": "certificate has expired", "level": 0},
        "failure",
        "the certificate of inbox is not valid: certificate has expired",
    ),
    (
        "hosts_unmapped",
        {"hosts": 5, "bookings": 9, "ids": ["a", "b", "c"]},
        "warning",
        "5 hosts of meetergo are not platform users (a, b, c and 2 more), and 9 bookings wait for an owner",
    ),
    (
        "hosts_unmapped",
        {"hosts": 1, "bookings": 1, "ids": ["a"]},
        "warning",
        "a host of meetergo is not a platform user (a), and 1 booking waits for an owner",
    ),
    (
        "hosts_unmapped",
        {"hosts": 1, "bookings": 1, "ids": ["a"], "account": "acme"},
        "warning",
        "account acme: a host of meetergo is not a platform user (a), and 1 booking waits for an owner",
    ),
    (
        "api_key_refused",
        {"reason": "expired", "account": "acme"},
        "failure",
        "account acme: meetergo refuses the API key: it has expired",
    ),
    (
        "api_key_refused",
        {"reason": "unreadable", "why": "the API key cannot be read: KEY is not set", "account": "acme"},
        "failure",
        "account acme: the API key of meetergo cannot be used: the API key cannot be read: KEY is not set",
    ),
    (
        "reconcile_stopped",
        {"error": "host 1: meetergo did not answer", "account": "acme"},
        "warning",
        "account acme: reconcile cannot read everything: host 1: meetergo did not answer",
    ),
]


@pytest.fixture
def operator_channel() -> Iterator[AlertReceiver]:
    with alert_receiver() as channel:
        yield channel


def alerts_to(channel: AlertReceiver) -> Alerts:
    return open_alerts(AlertSettings(alert_channels=[channel.url]))


def check(harness: Harness, alerts: Alerts, *seconds: float) -> None:
    for after in seconds:
        alerts.check(harness.services, NOW + timedelta(seconds=after))


@pytest.mark.parametrize(("kind", "details", "type_", "subject"), EXAMPLES)
def test_an_alert_names_its_cause_and_what_to_do(
    kind: IncidentKind, details: dict[str, Any], type_: str, subject: str
) -> None:
    incident = Incident(kind=kind, began_at=NOW, notified={}, details=details)
    text = alert_text(incident, Stats(NOW, None, None), NOW)
    assert (text.subject, text.type) == (f"meetergo-inbox: {subject}", type_)
    assert "\n  bin/inbox " in text.text
    assert text.text.splitlines()[-1] == f'More: docs/operations, "{WORDINGS[kind].section}"'
    incident.ended_at = NOW
    assert alert_text(incident, Stats(NOW, None, None), NOW).type == "success"


def test_an_alert_about_an_account_names_it_and_its_commands() -> None:
    details = {"reason": "expired", "account": "acme"}
    incident = Incident(kind="api_key_refused", account="acme", began_at=NOW, notified={}, details=details)
    text = alert_text(incident, Stats(NOW, None, None), NOW).text
    assert "bin/inbox accounts set acme --api-key\n  bin/inbox api check --account acme\n" in text
    assert "MEETERGO_API_KEY" not in text
    incident.ended_at = NOW
    resolved = "meetergo-inbox: resolved: account acme: meetergo accepts the API key again"
    assert alert_text(incident, Stats(NOW, None, None), NOW).subject == resolved


@ON_SQLITE
@pytest.mark.parametrize("is_writable", [True, False], ids=["table", "memory"])
def test_an_incident_of_one_account_neither_hides_nor_ends_that_of_another(
    harness: Harness, operator_channel: AlertReceiver, is_writable: bool
) -> None:
    alerts = alerts_to(operator_channel)
    refused = Observation(True, {"reason": "expired"})

    def observe(at: float, account: str, observation: Observation) -> None:
        alerts.observed_accounts[account] = {"api_key_refused": observation}
        with nullcontext() if is_writable else read_only_database(harness.services.database):
            check(harness, alerts, at, at + 1)

    observe(0, "acme", refused)
    alerts.observed["api_key_refused"] = refused
    observe(15, "other", refused)
    observe(30, "acme", ABSENT)
    observe(95, "acme", ABSENT)
    check(harness, alerts, 200)
    about_keys = [subject for subject in operator_channel.subjects() if "API key" in subject]
    assert sorted(about_keys[:3]) == [
        "account acme: meetergo refuses the API key: it has expired",
        "account other: meetergo refuses the API key: it has expired",
        "meetergo refuses the API key: it has expired",
    ]
    assert about_keys[3:] == ["resolved: account acme: meetergo accepts the API key again"]
    rows = [row for row in harness.all(Incident) if row.kind == "api_key_refused"]
    assert {row.account: row.ended_at is None for row in rows} == {"default": True, "acme": False, "other": True}


def test_every_kind_of_incident_has_words_and_a_section_of_the_docs() -> None:
    assert {kind for kind, *_ in EXAMPLES} == set(CAUSES)
    assert set(get_args(IncidentKind)) == set(WORDINGS)
    headings = set(re.findall(r"^## (.+)$", OPERATIONS.read_text(), re.MULTILINE))
    assert {wording.section for wording in WORDINGS.values()} <= headings


def test_what_is_observed_is_sent_once_and_once_when_it_is_over(
    harness: Harness, operator_channel: AlertReceiver
) -> None:
    alerts = alerts_to(operator_channel)
    alerts.observed["registration_lost"] = ABSENT
    check(harness, alerts, 0)
    alerts.observed["registration_lost"] = Observation(True, {"reason": "gone"})
    check(harness, alerts, 15, 30)
    restarted = alerts_to(operator_channel)
    check(harness, restarted, 45, 120)  # nothing is known yet: nothing changes
    ours = [subject for subject in operator_channel.subjects() if "worker" not in subject]
    assert ours == ["meetergo has no webhook for our address any more"]
    restarted.observed["registration_lost"] = ABSENT
    check(harness, restarted, 135, 135 + RESOLVE_AFTER.total_seconds(), 210)
    ours = [subject for subject in operator_channel.subjects() if "worker" not in subject]
    assert ours[1:] == ["resolved: meetergo posts to our address again"]
    [incident] = [row for row in harness.all(Incident) if row.kind == "registration_lost"]
    assert incident.details == {"reason": "gone"}


def key(days: int, level: int) -> Observation:
    return Observation(True, {"days": days, "level": level})


ENDS = ["the API key of meetergo ends in 14 days", "the API key of meetergo ends in 7 days"]


@ON_SQLITE
@pytest.mark.parametrize("is_writable", [True, False], ids=["table", "memory"])
def test_an_end_is_sent_anew_at_each_level_and_is_over_once(
    harness: Harness, operator_channel: AlertReceiver, is_writable: bool
) -> None:
    alerts = alerts_to(operator_channel)

    def observe(at: float, observation: Observation) -> None:
        alerts.observed["api_key_expiring"] = observation
        check(harness, alerts, at, at + 15)

    def levels() -> None:
        for hour, (days, level) in enumerate([(14, 14), (13, 14), (7, 7), (6, 7), (3, 3), (1, 1), (0, 1), (-1, 0)]):
            observe(hour * 3600, key(days, level))

    if is_writable:
        levels()
    else:
        with read_only_database(harness.services.database):
            levels()
    observe(9 * 3600, ABSENT)
    check(harness, alerts, 9 * 3600 + 90)
    said = list(zip(operator_channel.subjects(), operator_channel.kinds, strict=True))
    assert [each for each in said if "API key" in each[0]] == [
        (ENDS[0], "warning"),
        (ENDS[1], "warning"),
        ("the API key of meetergo ends in 3 days", "warning"),
        ("the API key of meetergo ends in 1 day", "warning"),
        ("the API key of meetergo has ended", "failure"),
        ("resolved: the API key of meetergo was renewed", "success"),
    ]
    assert len([row for row in harness.all(Incident) if row.kind == "api_key_expiring"]) == 1


@ON_SQLITE
def test_the_scheduler_sends_what_its_own_tasks_find(
    provider: Provider, operator_channel: AlertReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_day = (datetime.now(UTC) + timedelta(days=3)).date().isoformat()
    given = provider.environment(ALERT_CHANNELS=operator_channel.url, MEETERGO_API_KEY_EXPIRES=last_day)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    started: list[tuple[scheduler.Schedule, Services]] = []
    monkeypatch.setattr(scheduler, "run", lambda schedule, services, _stop: started.append((schedule, services)))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with provider.harness.services.database.transaction() as session:
        Endpoint.save(session, "0" * 12, "4711", ["booking_created"], NOW - timedelta(days=1), DEFAULT)
    scheduler.alerts.cache_clear()
    try:
        scheduler.main()
        [(schedule, services)] = started
        for task in ("arrivals", "registration", "expiry", "alerts"):
            schedule[task][1](services, datetime.now(UTC))
    finally:
        scheduler.alerts.cache_clear()
    services.database.close()
    assert set(operator_channel.subjects()) == {
        "meetergo has no webhook for our address any more",
        "the API key of meetergo ends in 3 days",
    }


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("alerts")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "own-redis")
    yield server
    server.stop()


@ON_SQLITE
def test_alerts_reach_people_while_postgresql_or_redis_or_both_are_killed(
    open_harness: Any, own_cluster: Cluster, own_redis: RedisServer, operator_channel: AlertReceiver
) -> None:
    harness: Harness = open_harness(database_url=own_cluster.url, redis_url=own_redis.url)
    migrate(harness.services.database.engine)
    alerts = alerts_to(operator_channel)
    sent: list[str] = []

    def news(*seconds: float) -> set[str]:
        check(harness, alerts, *seconds)
        new = operator_channel.subjects()[len(sent) :]
        sent.extend(new)
        return {each for each in new if "worker" not in each}

    assert news(0, 15) == set()
    own_cluster.crash()
    alerts.observed["api_key_expiring"] = key(14, 14)
    assert news(30, 45, 60) == {"the database does not answer", ENDS[0]}
    own_redis.kill()
    alerts.observed["api_key_expiring"] = key(7, 7)
    assert news(75, 90, 105) == {"Redis cannot be used", ENDS[1]}
    own_cluster.start()
    alerts.observed["certificate_expiring"] = Observation(True, {"host": "inbox", "days": 3, "level": 3})
    assert news(120, 135) == {"the certificate of inbox ends in 3 days"}
    assert news(195, 210) == {"resolved: the database answers again"}
    own_redis.start()
    alerts.observed["api_key_expiring"] = ABSENT
    resolved = {"resolved: Redis can be used again", "resolved: the API key of meetergo was renewed"}
    assert news(225, 300, 315) == resolved
    assert len(sent) == len(set(sent))
    kinds = sorted(row.kind for row in harness.all(Incident))
    assert kinds == sorted(["api_key_expiring", "certificate_expiring", "database_down", "no_worker", "redis_down"])


def test_what_needs_no_database_to_be_known_needs_none_to_be_sent() -> None:
    need_it = {"webhooks_silent", "webhooks_missed", "hosts_unmapped", "reconcile_stopped"}
    assert set(CAUSES) - set(CHECKED_WITHOUT_DATABASE) == need_it
