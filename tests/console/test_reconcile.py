"""The command `reconcile`."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.__main__ import cli
from console.commands.bookings import reconcile as command
from devtools.sandbox.faults.injector import InjectedAnswer
from models.delivery import Delivery
from tests.console.cli import ON_SQLITE
from tests.worker.provider import ME, Provider
from worker.reconcile.runner import LOCK_NAME, exclusive


def reconcile(provider: Provider, *words: str, **settings: str) -> Result:
    return CliRunner(env=provider.environment(**settings)).invoke(cli, ["reconcile", *words])


def test_it_shows_differences_and_names_no_guest(three_hosts: Provider) -> None:
    dry = reconcile(three_hosts, "--dry-run")
    assert (dry.exit_code, dry.stdout.count("missed")) == (0, 3)
    assert dry.stdout.endswith("3 appointments of 4 hosts read: 3 differ and would be repaired.\n")
    assert three_hosts.harness.all(Delivery) == []
    assert "example.com" not in dry.output


@ON_SQLITE
def test_json_output_of_one_host_is_pure_json(three_hosts: Provider) -> None:
    done = reconcile(three_hosts, "--user", "2", "--json")
    said = json.loads(done.stdout)
    assert (done.exit_code, said["missed"], [drift["kind"] for drift in said["drift"]]) == (0, 1, ["missed"])
    assert "example.com" not in done.output
    assert len(three_hosts.reconciled()) == 1


@ON_SQLITE
def test_a_reschedule_is_shown_with_its_times(three_hosts: Provider) -> None:
    three_hosts.deliver_all()
    record = next(iter(three_hosts.meetergo.appointments.values()))
    record |= {"start": "2030-01-07T10:00:00+01:00", "end": "2030-01-07T10:30:00+01:00"}
    record["updatedAt"] = three_hosts.clock().isoformat()
    assert "-> 2030-01-07 09:00" in " ".join(reconcile(three_hosts, "--dry-run", COLUMNS="200").stdout.split())


@ON_SQLITE
def test_it_fails_if_something_is_unknown(three_hosts: Provider) -> None:
    three_hosts.deliver_all()
    three_hosts.meetergo.appointments.popitem()
    done = reconcile(three_hosts)
    assert (done.exit_code, "unknown to meetergo" in done.stdout) == (1, True)


@ON_SQLITE
def test_it_fails_if_a_host_cannot_be_read(three_hosts: Provider) -> None:
    three_hosts.meetergo.users.popitem()
    done = reconcile(three_hosts)
    assert (done.exit_code, "not read: host 3" in done.stdout) == (1, True)


@ON_SQLITE
def test_it_does_not_say_that_nothing_differs_if_no_host_can_be_read(three_hosts: Provider) -> None:
    three_hosts.meetergo.users.clear()
    done = reconcile(three_hosts, "--dry-run")
    assert done.exit_code == 1
    assert done.stdout.count("not read: ") == 3
    assert done.stdout.splitlines()[-1] == "0 appointments of 0 hosts read."


@ON_SQLITE
def test_thousands_of_unread_hosts_do_not_fill_the_screen(
    three_hosts: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MAX_SHOWN", 2)
    three_hosts.meetergo.users.clear()
    shown = reconcile(three_hosts, "--dry-run").stdout.splitlines()
    assert [line.partition(":")[0] for line in shown] == [
        "not read",
        "not read",
        "... and 1 more",
        "0 appointments of 0 hosts read.",
    ]


@ON_SQLITE
def test_it_does_not_say_that_nothing_differs_if_there_is_no_host_to_read(provider: Provider) -> None:
    provider.meetergo.inject_faults(ME, InjectedAnswer(403, b"{}"))
    done = reconcile(provider, "--dry-run")
    assert (done.exit_code, done.stdout) == (
        1,
        "not read: any host: no host is mapped, and meetergo does not tell this key whose it is\n"
        "0 appointments of 0 hosts read.\n",
    )


@ON_SQLITE
def test_it_fails_with_a_message_if_the_key_is_expired(three_hosts: Provider) -> None:
    three_hosts.meetergo.expire(three_hosts.meetergo.key)
    done = reconcile(three_hosts, "--dry-run")
    stopped, summary = done.output.splitlines()
    assert (done.exit_code, stopped.startswith("Stopped: ")) == (1, True)
    assert "make a new key in meetergo" in stopped
    assert summary == "0 appointments of 0 hosts read, 3 hosts not read."


@ON_SQLITE
def test_it_says_that_another_is_running(three_hosts: Provider) -> None:
    with exclusive(three_hosts.harness.services.job_queue.redis, LOCK_NAME):
        done = reconcile(three_hosts)
    assert (done.exit_code, "another reconciliation is running" in done.stderr) == (1, True)


@ON_SQLITE
@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        ([], {"MEETERGO_API_KEY": ""}, "MEETERGO_API_KEY is not set"),
        (["--user", "nobody"], {}, "there is no platform user"),
        (["--user", "waiting"], {}, "is not a user of meetergo yet"),
        ([], {"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis does not answer"),
        ([], {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}, "the database does not answer"),
        ([], {"DATABASE_URL": "sqlite:///{empty}"}, "the database does not have the tables of this version"),
        ([], {"MEETERGO_API_URL": "https://127.0.0.1:1"}, "meetergo did not answer"),
    ],
)
def test_an_error_gives_a_message(
    provider: Provider, words: list[str], settings: dict[str, str], said: str, tmp_path: Path
) -> None:
    provider.harness.add_user(external_id="waiting")
    provider.add_host()
    (empty := tmp_path / "empty.db").touch()
    done = reconcile(provider, *words, **{name: value.format(empty=empty) for name, value in settings.items()})
    assert done.exit_code != 0
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output
