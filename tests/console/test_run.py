"""`make run`: everything on this machine until Ctrl-C, in an empty folder."""

import contextlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NobodyThere

from console.redis_server import free_port
from console.sender import Sender
from console.stage import environment, wait_until_ready
from tests.console.terminal import terminal
from tests.scrape import until

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/webhooks/meetergo/\S+")
REDIS = re.compile(r"redis://127\.0\.0\.1:(\d+)")


@contextmanager
def running(folder: Path, port: int) -> Iterator[Path]:
    """`make run` in a folder, until a Ctrl-C; yields what it prints."""
    log = folder / "run.log"
    env = environment({"PORT": str(port)})
    for name in ("WEBHOOK_KEYS", "REDIS_URL", "DATABASE_URL"):
        env.pop(name, None)
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "run"], cwd=folder, env=env, stdout=file, stderr=file
        )
        try:
            yield log
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
    assert code == 0, log.read_text()


def test_it_runs_until_ctrl_c_and_the_address_survives_a_restart(tmp_path: Path) -> None:
    port, addresses = free_port(), []
    for _ in range(2):
        with running(tmp_path, port) as log:
            wait_until_ready(f"http://127.0.0.1:{port}", log)
            addresses.append(ADDRESS.findall(log.read_text())[0])
            answer = Sender(addresses[-1]).send(b'{"webhookType":"form_submission"}')
            assert answer.status == 200
            redis_port = int(REDIS.findall(log.read_text())[0])
            _wait_for_all_three(log)
        assert _is_gone(redis_port)
    assert addresses[0] == addresses[1]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert (tmp_path / "data" / "inbox.db").exists()
    assert addresses[0].rpartition("/")[2] not in log.read_text().replace(addresses[0], "")


def test_nothing_goes_on_when_its_terminal_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(port := free_port()))
    for name in ("WEBHOOK_KEYS", "REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    with terminal("run", columns=200) as screen:
        screen.wait_for("cron started")
        wait_until_ready(f"http://127.0.0.1:{port}", tmp_path / "unread")
        redis_port = int(REDIS.findall(screen.text)[0])
        screen.close()
        until(lambda: _is_gone(redis_port) and not _processes_in(tmp_path))


def _processes_in(folder: Path) -> list[str]:
    """The other processes whose folder it is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and process.name != str(os.getpid()):
                found.append(process.name)
    return found


def test_a_port_that_is_taken_is_a_sentence(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "console", "run"],
            cwd=tmp_path,
            env=environment({"PORT": str(taken.getsockname()[1])}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert "is taken" in done.stderr
    assert "Traceback" not in done.stderr


def _wait_for_all_three(log: Path) -> None:
    until = time.monotonic() + 30
    while not all(f"{name} started" in log.read_text() for name in ("web", "worker", "cron")):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


def _is_gone(redis_port: int) -> bool:
    with Redis(port=redis_port) as client:
        try:
            client.ping()
        except NobodyThere:
            return True
    return False
