"""The worker processes: kept alive, and stopped in order."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from rq import Worker
from rq.timeouts import JobTimeoutException

import worker.__main__ as worker_main
from devtools.forked import ROOT, ForkedProcess, Program
from devtools.processes import environment
from devtools.send import samples
from models.attempt import FailedAttempt
from models.booking import Booking
from models.delivery import Delivery
from models.incident import Incident
from models.notification import Notification
from models.retryable import WORKER_DIED
from runtime.queue import JobQueue
from runtime.redis import heartbeat
from runtime.redis.client import connect
from runtime.version import VERSION
from tests.process_environment import environment_names
from tests.scrape import free_ports, read, read_until
from tests.waiting import wait_until
from tests.worker.harness import AT, START, Harness
from worker import scheduler
from worker.queue_worker import QueueWorker

ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""Processes start, die and are replaced alike whatever the database, and each takes seconds to start."""


@contextmanager
def forked_pool(folder: Path, *words: str, start_new_session: bool = False) -> Iterator[ForkedProcess]:
    """The same as `worker_pool` but for its start, where the start is not what is tested."""
    program = Program("worker", words)
    process = ForkedProcess(program, folder, folder / "worker.log", start_new_session=start_new_session)
    try:
        yield process
    finally:
        _end(process)


@contextmanager
def worker_pool(folder: Path, *words: str, env: Mapping[str, str] | None = None) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", *words],
            cwd=folder,
            env=env or environment({}),
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes] | ForkedProcess") -> None:
    """With its workers: one that outlived a killed pool for a moment would take the next test's job."""
    process.terminate()
    try:
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def workers(harness: Harness) -> list[Worker]:
    return [worker for worker in Worker.all(harness.services.job_queue.redis) if worker.death_date is None]


@ONE_DATABASE
def test_each_queue_has_its_own_number_of_workers(harness: Harness, tmp_path: Path) -> None:
    with forked_pool(tmp_path, "-n", "2") as process:
        wait_until(lambda: len(workers(harness)) == 4)
        assert (
            sorted(",".join(worker.queue_names()) for worker in workers(harness))
            == ["meetergo-inbox-inbox"] * 2 + ["meetergo-inbox-outbox"] * 2
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert workers(harness) == []


@ONE_DATABASE
def test_a_worker_that_was_not_restarted_yet_handles_deliveries_after_its_code_was_replaced(
    harness: Harness, tmp_path: Path
) -> None:
    code = tmp_path / "code"
    for package in ("meetergo", "meetergo_inbox", "models", "runtime", "worker"):
        shutil.copytree(ROOT / package, code / package)
    env = environment({"PYTHONPATH": str(code), "NOTIFY_DEFAULT": "log:"})
    with worker_pool(tmp_path, env=env):
        wait_until(lambda: len(workers(harness)) == 2)
        (code / "worker" / "jobs.py").write_text("from runtime import a_module_of_the_next_version\n")
        harness.deliver(samples.created("b1", START, AT))
        harness.services.job_queue.trigger_drain("inbox")
        wait_until(lambda: [row.status for row in harness.all(Notification)] == ["done"])
    assert "job.dead" not in (tmp_path / "worker.log").read_text()


@ONE_DATABASE
def test_the_garbage_collector_of_a_worker_is_spared_what_was_imported(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOOK", "tests.worker.hooks:count_frozen")
    with worker_pool(tmp_path, "inbox"):
        harness.deliver(samples.created("b1", START, AT))
        harness.services.job_queue.trigger_drain("inbox")
        wait_until((tmp_path / "frozen").exists)
        assert int((tmp_path / "frozen").read_text()) > 10_000


@ONE_DATABASE
def test_only_the_main_thread_of_a_worker_receives_a_signal(harness: Harness, tmp_path: Path) -> None:
    """Else its read of Redis may go on: of Ctrl-C and the pool's signal, one would go to another thread."""
    with forked_pool(tmp_path, "inbox"):
        wait_until(lambda: workers(harness))
        pid = workers(harness)[0].pid
        assert pid is not None
        wait_until(lambda: len(blocked(pid)) > 1)
        asked_to_stop = {signal.SIGINT, signal.SIGTERM}
        assert blocked(pid).pop(pid) == set()
        assert all(asked_to_stop <= mask for thread, mask in blocked(pid).items() if thread != pid)


def blocked(pid: int) -> dict[int, set[int]]:
    """Map each thread to the signals that it blocks."""
    threads = {int(task.name): (task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()}
    masks = {thread: re.findall(r"^SigBlk:\s+(\w+)$", text, re.MULTILINE)[0] for thread, text in threads.items()}
    return {thread: {n for n in range(1, 65) if int(mask, 16) >> (n - 1) & 1} for thread, mask in masks.items()}


@ONE_DATABASE
@pytest.mark.parametrize(
    ("setting", "confirmation_mode", "holds"),
    [("CONFIRM_CANCELS", "False", False), ("CONFIRM", "all", True)],
)
def test_only_a_pool_that_confirms_holds_the_api_key(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str, confirmation_mode: str, holds: bool
) -> None:
    monkeypatch.setenv("MEETERGO_API_KEY", f"ak_live:{'0' * 8}:{'0' * 64}")
    monkeypatch.setenv(setting, confirmation_mode)
    with worker_pool(tmp_path, "-n", "1") as process:
        wait_until(lambda: len(workers(harness)) == 2)
        given = environment_names(process.pid)
    assert len(given) == 3  # the pool, and a worker for each queue
    assert {("REDIS_URL" in names, "MEETERGO_API_KEY" in names) for names in given} == {(True, holds)}


@ONE_DATABASE
def test_a_worker_that_dies_is_replaced_and_the_work_goes_on(harness: Harness, tmp_path: Path) -> None:
    with forked_pool(tmp_path, "inbox") as process:
        wait_until(lambda: workers(harness))
        first = workers(harness)[0]
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: {worker.pid for worker in workers(harness)} - {first.pid})
        harness.deliver(samples.created("b1", START, AT))
        harness.services.job_queue.trigger_drain("inbox")
        wait_until(lambda: harness.all(Booking))
        queue = harness.services.job_queue.queue("inbox")
        assert first.pid not in {worker.pid for worker in heartbeat.live_workers(queue)}
        assert heartbeat.deaths(harness.services.job_queue.redis) == {queue.name: 1}
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def poison(harness: Harness) -> None:
    """In the middle of others; what comes first is handled first."""
    names = [f"b{number}" for number in range(66)]
    names[20:20] = ["poison-1"]
    names[40:40] = ["poison-2"]
    for start in range(0, len(names), 10):
        harness.deliver(*(samples.created(name, START, AT) for name in names[start : start + 10]))
    harness.services.job_queue.trigger_drain("inbox")


def ends(harness: Harness) -> Counter[tuple[str, str | None]]:
    return Counter((row.status, row.last_error) for row in harness.all(Delivery))


ONLY_THE_POISON_IS_DEAD = Counter({("done", None): 66, ("dead", WORKER_DIED): 2})


def test_a_delivery_that_ends_its_worker_is_dead_in_the_end_and_stops_no_other(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOOK", "tests.worker.hooks:kill_the_worker")
    poison(harness)
    with forked_pool(tmp_path, "inbox"):
        wait_until(lambda: ends(harness) == ONLY_THE_POISON_IS_DEAD, 90)
        assert harness.all(Incident)[0].kind == "worker_died"
    assert {row.id for row in harness.all(Booking)} == {f"b{number}" for number in range(66)}
    assert [attempt.outcome for attempt in harness.all(FailedAttempt)] == ["dead"] * 2


@ONE_DATABASE
def test_the_same_when_all_processes_die_with_it(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOOK", "tests.worker.hooks:kill_the_pool")
    poison(harness)
    ends_at = time.monotonic() + 150
    while ends(harness) != ONLY_THE_POISON_IS_DEAD and time.monotonic() < ends_at:
        with forked_pool(tmp_path, "inbox", start_new_session=True) as process:
            wait_until(lambda: process.poll() is not None or ends(harness) == ONLY_THE_POISON_IS_DEAD, 60)
        harness.services.job_queue.force_drain("inbox")  # as the sweep does
    assert ends(harness) == ONLY_THE_POISON_IS_DEAD


@ONE_DATABASE
def test_a_worker_is_seen_again_after_redis_was_emptied(harness: Harness, tmp_path: Path) -> None:
    with forked_pool(tmp_path, "inbox"):
        wait_until(lambda: workers(harness))
        name = workers(harness)[0].name
        harness.services.job_queue.redis.flushall()
        harness.deliver(samples.created("b1", START, AT))
        harness.services.job_queue.trigger_drain("inbox")
        wait_until(lambda: [worker.name for worker in workers(harness)] == [name])
        assert workers(harness)[0].queue_names() == ["meetergo-inbox-inbox"]


@ONE_DATABASE
def test_a_pool_that_is_killed_leaves_no_worker_behind(harness: Harness, tmp_path: Path) -> None:
    with forked_pool(tmp_path) as process:
        wait_until(lambda: len(workers(harness)) == 2)
        process.kill()
        process.wait()
        wait_until(lambda: workers(harness) == [])


@ONE_DATABASE
def test_the_metrics_server_is_replaced_too_and_ends_with_the_pool(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = free_ports(2)
    monkeypatch.setenv("METRICS_PORT", str(first))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with forked_pool(tmp_path) as process:
        read_until(lambda scrape: scrape.value("build_info", process="worker", version=VERSION), first + 1)
        family = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        shows = int(family.read_text().split()[-1])
        os.kill(shows, signal.SIGKILL)
        wait_until(lambda: len(family.read_text().split()) == 3 and str(shows) not in family.read_text().split())
        read_until(lambda scrape: scrape.text, first + 1)
        process.kill()
        process.wait()
        wait_until(lambda: not read(first + 1).text)
        wait_until(lambda: not list(tmp_path.glob("meetergo-inbox-*")))


@ONE_DATABASE
def test_a_worker_that_is_asked_to_stop_finishes_its_job_and_nothing_is_done_twice(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATFORM_HOOK", "tests.worker.hooks:take_time")
    harness.deliver(samples.created("b1", START, AT))
    with forked_pool(tmp_path, "inbox") as process:
        wait_until(lambda: workers(harness))
        harness.services.job_queue.trigger_drain("inbox")
        wait_until((tmp_path / "hook-began").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [(row.status, row.attempts) for row in harness.all(Delivery)] == [("done", 0)]
    assert [change.revision for change in harness.changes()] == [1]
    assert harness.services.job_queue.queue("inbox").started_job_registry.get_job_ids() == []


def test_a_job_that_goes_on_after_its_timeout_is_interrupted_again() -> None:
    """As with a hook that waits for a service that is down: for the first of a batch, and then for the next."""
    with QueueWorker.death_penalty_class(0.05, JobTimeoutException):
        with pytest.raises(JobTimeoutException):
            threading.Event().wait()
        assert signal.getitimer(signal.ITIMER_REAL)[1] == pytest.approx(0.05, abs=0.01)
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("words", [["nothing"], ["-n", "0"]])
def test_arguments_that_make_no_sense_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["worker", *words])
    with pytest.raises(SystemExit) as ended:
        worker_main.main()
    assert ended.value.code == 2
    assert "a QUEUE is inbox or outbox" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"REDIS_URL": ""}, "REDIS_URL is not set"),
        ({"PLATFORM_HOOK": "no.such.module:f"}, "PLATFORM_HOOK=no.such.module:f cannot be imported"),
        ({"PLATFORM_HOOK": "json:nothing"}, "PLATFORM_HOOK=json:nothing cannot be imported"),
        ({"PLATFORM_HOOK": "json:__name__"}, "PLATFORM_HOOK=json:__name__ is not a function"),
        ({"NOTIFY_DEFAULT": "mailto:"}, "NOTIFY_DEFAULT: a channel that starts with 'mailto:' cannot be used"),
        ({"NOTIFY_DEFAULT": "https://x.example/h"}, "NOTIFY_SIGNING_SECRET"),
        ({"NOTIFY_DEFAULT": "nonsense://x"}, "NOTIFY_DEFAULT"),
        ({"NOTIFY_DEFAULT": "s3cr3t-t0ken"}, "a channel is a URL"),
        ({"SMTP_URL": "http://x"}, "SMTP_URL cannot be used"),
        ({"METRICS_PORT": "65535"}, "METRICS_PORT cannot be used"),
        ({"ALERT_CHANNELS": "nonsense://s3cr3t"}, "ALERT_CHANNELS: one that starts with 'nonsense:' cannot be used"),
        ({"ALERT_CHANNELS": "s3cr3t"}, "ALERT_CHANNELS: each is a URL of Apprise"),
        ({"ALERT_WAITING_SECONDS": "0", "ALERT_CHANNELS": ""}, "ALERT_WAITING_SECONDS cannot be used"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_process_with_a_sentence(
    settings: dict[str, str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["worker"])
    monkeypatch.setattr(worker_main, "reexec_without", lambda _name: None)
    for name, value in {"REDIS_URL": "redis://127.0.0.1:1", **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        (scheduler.main if {"PLATFORM_HOOK", "ALERT_CHANNELS"} & set(settings) else worker_main.main)()
    assert ended.value.code == 2
    printed = capfd.readouterr().err
    assert sentence in printed
    assert "Traceback" not in printed
    assert "s3cr3t" not in printed


def test_the_trigger_never_raises_when_redis_is_away() -> None:
    job_queue = JobQueue(connect("redis://127.0.0.1:1"))
    assert not job_queue.trigger_drain("inbox")
    job_queue.force_drain("outbox")
    job_queue.drain_started("inbox")
    job_queue.enqueue_scheduled("inbox")
