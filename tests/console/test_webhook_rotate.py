"""`webhook rotate`: from the older key's address to the newest one's, and meetergo always has one of ours."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from devtools.forked import ForkedProcess, Program
from devtools.processes import environment, processes, wait_until_ready
from devtools.redis_server import free_port
from devtools.sandbox.server import Sandbox, sandbox
from devtools.sandbox.state.company import Plan
from models.delivery import Delivery
from runtime.queue import JobQueue
from runtime.signed_address import AddressSigner
from tests.console.cli import ON_SQLITE
from tests.console.conftest import NEW_KEY, OLD_KEY, Operator
from tests.console.test_webhook import CHANGE, CREATE, REMOVE, plant
from tests.waiting import wait_until

BOTH = f"{OLD_KEY},{NEW_KEY}"
NEW_MARK = AddressSigner([NEW_KEY]).fingerprints("default")[0]


pytestmark = ON_SQLITE


@pytest.fixture
def rotating(operator: Operator) -> Operator:
    """The old address is registered, and a new key is configured."""
    operator.run("webhook", "register")
    operator.settings["WEBHOOK_KEYS"] = BOTH
    return operator


def test_both_addresses_stay_until_the_new_one_received_a_delivery(rotating: Operator, job_queue: JobQueue) -> None:
    done = rotating.run("webhook", "rotate", "--timeout", "1s")
    assert done.exit_code == 1
    assert "both stay registered" in done.stderr
    assert set(rotating.registered().values()) == set(rotating.addresses(OLD_KEY, NEW_KEY))
    job_queue.record_seen(NEW_MARK, datetime.now(UTC))
    assert rotating.run("webhook", "rotate", "--no-wait").exit_code == 0
    assert list(rotating.registered().values()) == rotating.addresses(NEW_KEY)
    assert [row.fingerprint for row in rotating.endpoints()] == [NEW_MARK]
    again = rotating.run("webhook", "rotate")
    assert (again.exit_code, rotating.request_count(CREATE), rotating.request_count(REMOVE)) == (0, 2, 1)
    assert "nothing more to do" in again.stdout


def test_a_delivery_from_before_the_registration_does_not_count(rotating: Operator, job_queue: JobQueue) -> None:
    job_queue.record_seen(NEW_MARK, datetime.now(UTC) - timedelta(minutes=1))
    assert rotating.run("webhook", "rotate", "--no-wait").exit_code == 1
    assert len(rotating.registered()) == 2


def test_force_does_not_wait(rotating: Operator) -> None:
    assert rotating.run("webhook", "rotate", "--no-wait", "--force").exit_code == 0
    assert list(rotating.registered().values()) == rotating.addresses(NEW_KEY)


def test_a_dry_run_changes_nothing(rotating: Operator) -> None:
    before = rotating.registered()
    assert "It would register" in rotating.run("webhook", "rotate", "--dry-run").stdout
    assert rotating.registered() == before


def test_an_unknown_older_address_of_ours_is_removed_too(operator: Operator, job_queue: JobQueue) -> None:
    plant(operator.meetergo, operator.addresses(OLD_KEY)[0])
    other = plant(operator.meetergo, "https://other.example/hook")
    operator.run("webhook", "rotate", "--no-wait", webhook_keys=BOTH)
    job_queue.record_seen(NEW_MARK, datetime.now(UTC))
    assert operator.run("webhook", "rotate", webhook_keys=BOTH).exit_code == 0
    assert sorted(operator.registered().values()) == sorted(
        [*operator.addresses(NEW_KEY), "https://other.example/hook"]
    )
    assert other in operator.registered()


def test_without_a_free_slot_the_existing_webhook_is_changed(open_operator: Callable[..., Operator]) -> None:
    with sandbox(plan=Plan(webhooks=6)) as meetergo:
        operator = open_operator(meetergo)
        operator.run("webhook", "register")
        (ours,) = operator.registered()
        for number in range(5):
            plant(meetergo, f"https://other-{number}.example/hook")
        done = operator.run("webhook", "rotate", webhook_keys=BOTH)
        assert done.exit_code == 0, done.output
        assert "no free slot for a second webhook" in done.stdout
        assert operator.registered()[ours] == operator.addresses(NEW_KEY)[0]
        assert (len(meetergo.webhooks), operator.request_count(REMOVE), operator.request_count(CHANGE)) == (6, 0, 1)


@pytest.mark.parametrize("act", ["commit_then_fail", "fail"])
def test_no_unknown_outcome_leaves_no_webhook_or_duplicates(rotating: Operator, job_queue: JobQueue, act: str) -> None:
    rotating.meetergo.inject_faults(CREATE, act)
    rotating.meetergo.inject_faults(REMOVE, act)
    rotating.run("webhook", "rotate", "--no-wait")
    assert sorted(rotating.registered().values()) == sorted(rotating.addresses(OLD_KEY, NEW_KEY))
    job_queue.record_seen(NEW_MARK, datetime.now(UTC))
    assert rotating.run("webhook", "rotate").exit_code == 0
    assert list(rotating.registered().values()) == rotating.addresses(NEW_KEY)


@contextmanager
def waiting(operator: Operator, folder: Path) -> Iterator[tuple[ForkedProcess, Path]]:
    """Run `webhook rotate` in a process of its own until it has registered the new address and waits."""
    env = {**os.environ, "PYTHONPATH": environment({})["PYTHONPATH"], "PYTHONUNBUFFERED": "1", **operator.settings}
    log = folder / "rotate.log"
    process = ForkedProcess(Program("console", ["webhook", "rotate"]), folder, log, env)
    try:
        wait_until(lambda: "Waiting" in log.read_text() or process.poll() is not None)
        registered, waiting = log.read_text().splitlines()
        assert "Registered" in registered
        assert "Waiting" in waiting
        yield process, log
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_while_it_waits_leaves_both_registered(rotating: Operator, tmp_path: Path) -> None:
    with waiting(rotating, tmp_path) as (process, log):
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130, log.read_text()
    said = log.read_text()
    assert "Run it again" in said
    assert len(rotating.registered()) == 2


def test_a_delivery_to_the_receiver_ends_the_wait_and_none_is_lost(
    open_operator: Callable[..., Operator], meetergo: Sandbox, tmp_path: Path
) -> None:
    port = free_port()
    operator = open_operator(meetergo, PUBLIC_URL=f"http://127.0.0.1:{port}")
    host = meetergo.actions.add_host("host@example.com")
    operator.run("webhook", "register")
    operator.settings["WEBHOOK_KEYS"] = BOTH
    env = environment({**operator.settings, "HOST": "127.0.0.1", "PORT": str(port)})
    with processes(env, tmp_path, names=["web"]) as logs:
        wait_until_ready(f"http://127.0.0.1:{port}", logs["web"])
        with waiting(operator, tmp_path) as (process, log):
            _book(meetergo, host["meetingTypeId"], 0)
            assert process.wait(60) == 0, log.read_text()
        _book(meetergo, host["meetingTypeId"], 1)
        meetergo.drain()
    assert list(operator.registered().values()) == operator.addresses(NEW_KEY)
    assert {delivery.status for delivery in meetergo.deliveries} == {200}
    with operator.database.read_only() as session:
        assert session.query(Delivery).count() == 2  # both addresses received the first one, which is stored once


def _book(meetergo: Sandbox, meeting_type_id: str, number: int) -> None:
    monday = datetime.now(UTC) + timedelta(days=7 - datetime.now(UTC).weekday())
    start = monday.replace(hour=10 + number, minute=0, second=0, microsecond=0)
    meetergo.actions.book(meeting_type_id, start, "guest-1@example.com")
