"""Three accounts through a bad line: each converges, nothing crosses, an alarm names the one whose key is refused."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from sqlalchemy import select

from console.__main__ import cli
from devtools.processes import environment, processes, wait_until_ready
from devtools.redis_server import free_port
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox, sandbox
from devtools.sandbox.timestamps import moment
from models import account_cache
from models.account import DEFAULT, meetergo_id
from models.booking import Booking
from models.delivery import Delivery
from models.endpoint import Endpoint
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from operations.checks import run_checks
from operations.status import StatusSettings, take_snapshot
from runtime.process.stop_signal import StopEvent
from tests.console.cli import ON_SQLITE
from tests.worker.alert_receiver import AlertReceiver, alert_receiver
from tests.worker.harness import Harness
from tests.worker.provider import LISTS, free_start
from worker.maintenance.account_tasks import AccountRound
from worker.maintenance.alerts import Alerts, open_alerts
from worker.maintenance.arrivals import observe_accounts
from worker.maintenance.observation import ABSENT, Observation
from worker.reconcile.runner import reconcile_on_schedule
from worker.settings import AlertSettings, ScheduleSettings

OLD_KEY, NEW_KEY = "o" * 32, "n" * 32
BAD_LINE = FaultPlan(seed=5, drop=0.25, repeat=0.3, reorder=0.3, delay=0.02, wire="both")
BOOKINGS = 6
HOST = "host@example.com"
MINUTES = timedelta(minutes=10)


class Agency:
    """An installation with an account for each company of a sandbox: `default`, `acme` and `beta`."""

    names = ("default", "acme", "beta")

    def __init__(self, meetergo: Sandbox, harness: Harness, env: dict[str, str], alerts: Alerts) -> None:
        self.meetergo, self.harness, self.env, self.alerts = meetergo, harness, env, alerts
        self.accounts = dict(zip(self.names, meetergo.accounts, strict=True))
        self.settings = ScheduleSettings.load()
        self._booked = 0

    def run(self, *words: str, typed: str | None = None, **env: str) -> Result:
        done = CliRunner().invoke(cli, words, env=self.env | env, input=typed)
        assert done.exit_code == 0, done.output
        return done

    def set_up(self, folder: Path) -> None:
        """Add the accounts, onboard a host in each, and register their addresses with the older key."""
        for name, own in self.accounts.items():
            if name != "default":
                self.run("accounts", "add", name, "--api-key", typed=own.key)
            row = f"{name}-1,{HOST},The,Host"
            (folder / "hosts.csv").write_text(f"external_id,email,given_name,family_name\n{row}\n")
            self.run("users", "onboard", "hosts.csv", "--account", name)
            self.run("webhook", "register", "--account", name, WEBHOOK_KEYS=OLD_KEY)

    def guests_act(self) -> None:
        """Guests of each company book, move and cancel."""
        for own in self.accounts.values():
            [kind] = (
                key
                for key, kind in own.company.meeting_types.items()
                if own.company.users[kind["userId"]]["email"] == HOST
            )
            ids = []
            for number in range(BOOKINGS):
                booked = own.actions.book(kind, free_start(self._booked + number), f"guest-{number}@example.com")
                ids.append(booked["appointmentId"])
            own.actions.reschedule(ids[0], free_start(self._booked + BOOKINGS))
            own.actions.cancel(ids[1], "no time")
            own.actions.reschedule(ids[2], free_start(self._booked + BOOKINGS + 1))
            own.actions.cancel(ids[2])
        self._booked += BOOKINGS + 2

    def settle(self, after: timedelta = timedelta(0)) -> None:
        """Let the webhooks arrive, run the scheduler's tasks once, and process what is due."""
        self.meetergo.drain()
        self.harness.process_due()
        now, services = datetime.now(UTC) + after, self.harness.services
        how: dict[str, Any] = {"max_duration": timedelta(minutes=8), "stop": StopEvent()}
        reconcile_on_schedule(self.settings, services, now, account=DEFAULT, **how)
        AccountRound(self.settings, self.alerts.observed_accounts, services, now, **how).run()
        observe_accounts(services, now, self.alerts.observed_accounts)
        self.harness.process_due()
        self.harness.send_all()
        self.alerts.check(services, now)

    def differences(self, name: str) -> set[str]:
        """Return the ids of bookings of an account that are not as its company says."""
        with self.harness.services.database.read_only() as session:
            rows = session.scalars(select(Booking).where(Booking.account == name)).all()
        ours = {meetergo_id(name, row.id): (row.status == "cancelled", row.starts_at) for row in rows}
        records = self.accounts[name].company.appointments
        theirs = {key: (record["isCancelled"], moment(record["start"])) for key, record in records.items()}
        return {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}


@pytest.fixture
def operator_channel() -> Iterator[AlertReceiver]:
    with alert_receiver() as channel:
        yield channel


@pytest.fixture
def agency(
    open_harness: Callable[..., Harness],
    operator_channel: AlertReceiver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Agency]:
    monkeypatch.setattr(account_cache, "CACHE_TIME", timedelta(0))
    port = free_port()
    with sandbox(companies=3) as meetergo:
        settings = {
            "WEBHOOK_KEYS": f"{OLD_KEY},{NEW_KEY}",
            "BODY_KEYS": Fernet.generate_key().decode(),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "MEETERGO_API_URL": meetergo.url,
            "MEETERGO_API_KEY": meetergo.key,
            "MEETERGO_API_PER_MINUTE": "100000",
        }
        harness = open_harness(**{name.lower(): value for name, value in settings.items()})
        env = environment({})
        alerts = open_alerts(AlertSettings(alert_channels=[operator_channel.url]))
        with processes(env, tmp_path, names=["web"]) as logs:
            wait_until_ready(settings["PUBLIC_URL"], logs["web"])
            yield Agency(meetergo, harness, env, alerts)


def about_accounts(channel: AlertReceiver) -> list[str]:
    return [subject for subject in channel.subjects() if "account" in subject or "API key" in subject]


@ON_SQLITE
def test_three_accounts_converge_over_a_bad_line_with_one_key_expired_and_one_address_rotated(
    agency: Agency, operator_channel: AlertReceiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    meetergo, acme, beta = agency.meetergo, agency.accounts["acme"], agency.accounts["beta"]
    agency.set_up(tmp_path)
    meetergo.faults = BAD_LINE
    agency.guests_act()
    meetergo.drain()
    meetergo.expire(acme.key)
    assert CliRunner().invoke(cli, ["webhook", "rotate", "--account", "beta", "--no-wait"], env=agency.env).exit_code
    assert len(beta.company.webhooks) == 2
    agency.guests_act()
    meetergo.drain()
    rotated = agency.run("webhook", "rotate", "--account", "beta", "--no-wait")
    assert "only the address of the newest key is registered" in rotated.stdout
    agency.guests_act()
    meetergo.inject_faults(LISTS, "drop_connection")
    meetergo.drain()
    assert {each.outcome for each in meetergo.deliveries} == {"answered", "dropped"}
    assert {each.status for each in meetergo.deliveries if each.outcome == "answered"} == {200}

    agency.settle()
    assert (agency.differences("default"), agency.differences("beta")) == (set(), set())
    assert agency.differences("acme"), "the line lost nothing of acme's: choose another seed"
    assert about_accounts(operator_channel) == ["account acme: meetergo refuses the API key: it has expired"]
    snapshot = take_snapshot(
        StatusSettings.load(), agency.harness.services.database, agency.harness.services.job_queue, datetime.now(UTC)
    )
    [finding] = [each for each in run_checks(snapshot) if each.kind == "account"]
    command = "bin/inbox accounts set acme --api-key"
    assert (finding.values, finding.command) == (
        {"account": "acme", "kind": "api_key_refused", "command": command},
        command,
    )
    assert [(each.name, each.waiting, each.dead) for each in snapshot.accounts] == [
        (name, 0, 0) for name in ("default", "acme", "beta")
    ]

    agency.run("accounts", "set", "acme", "--api-key", typed=meetergo.new_key(acme.company))
    agency.settle(MINUTES)
    agency.settle(2 * MINUTES)
    assert agency.differences("acme") == set()
    assert about_accounts(operator_channel)[1:] == ["resolved: account acme: meetergo accepts the API key again"]
    assert_nothing_crossed(agency)
    shown = capsys.readouterr().out + (tmp_path / "web.log").read_text() + str(operator_channel.received)
    assert "account=acme" in shown, "the logs of the worker are not seen"
    for own in agency.accounts.values():
        assert own.key.rpartition(":")[2] not in shown


def assert_nothing_crossed(agency: Agency) -> None:
    harness = agency.harness
    users = {row.id: row for row in harness.all(PlatformUser)}
    assert {row.external_id: row.account for row in users.values()} == {f"{name}-1": name for name in agency.names}
    bookings = {row.id: row for row in harness.all(Booking)}
    for row in bookings.values():
        assert meetergo_id(row.account, row.id) in agency.accounts[row.account].company.appointments
        assert row.platform_user_id is not None
        assert users[row.platform_user_id].account == row.account
    deliveries = harness.all(Delivery)
    assert {row.status for row in deliveries} == {"done"}
    for row in (*deliveries, *harness.all(Notification)):
        assert row.booking_id is None or bookings[row.booking_id].account == row.account
    assert {row.account for row in harness.all(Reconciliation) if row.hosts} == set(agency.names)
    with harness.services.database.read_only() as session:
        for name, own in agency.accounts.items():
            assert {row.provider_id for row in Endpoint.all(session, name)} == own.company.webhooks.keys()


@ON_SQLITE
def test_a_key_that_cannot_be_read_and_a_disabled_account_stop_no_other(agency: Agency, tmp_path: Path) -> None:
    agency.set_up(tmp_path)
    observed = agency.alerts.observed_accounts
    agency.run("accounts", "set", "acme", "--api-key-from", "env:NOT_SET_ANYWHERE", "--no-check")
    agency.run("accounts", "set", "beta", "--api-key-expires", (datetime.now(UTC) + MINUTES * 200).date().isoformat())
    agency.settle()
    why = {"reason": "unreadable", "why": "the API key cannot be read: NOT_SET_ANYWHERE is not set"}
    assert observed["acme"]["api_key_refused"] == Observation(True, why)
    assert observed["beta"]["api_key_refused"] == ABSENT
    assert observed["beta"]["api_key_expiring"].holds
    runs = [row.account for row in agency.harness.all(Reconciliation)]
    assert sorted(runs) == ["beta", "default"]
    agency.run("accounts", "disable", "acme")
    agency.run("accounts", "disable", "beta")
    agency.settle()
    assert not any(each.holds for found in observed.values() for each in found.values())
    assert [row.account for row in agency.harness.all(Reconciliation)] == [*runs, "default"]


@ON_SQLITE
def test_accounts_without_a_key_or_whose_meetergo_is_away_raise_no_alarm_and_a_disabled_one_none_any_more(
    open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_ACME", f"ak_live:{UUID(int=1)}:secret")
    monkeypatch.setattr(account_cache, "CACHE_TIME", timedelta(0))
    harness = open_harness(meetergo_api_url=f"http://127.0.0.1:{free_port()}")
    harness.add_account("acme", api_key_from="env:KEY_OF_ACME")
    harness.add_account("bare")
    harness.add_account("left", is_active=False, api_key_from="env:KEY_OF_ACME")
    lost = {"reason": "gone"}
    observed: dict[str, Any] = {each: {"registration_lost": Observation(True, lost)} for each in ("bare", "left")}
    how: dict[str, Any] = {"max_duration": timedelta(minutes=8), "stop": StopEvent()}
    AccountRound(ScheduleSettings.load(), observed, harness.services, datetime.now(UTC), **how).run()
    assert observed.keys() == {"acme", "bare", "left"}
    assert not any(each.holds for name in ("bare", "left") for each in observed[name].values())
    assert not any(observed["acme"].get(kind, ABSENT).holds for kind in ("api_key_refused", "registration_lost"))
