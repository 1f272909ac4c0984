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
from urllib.parse import unquote

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NobodyThere

from devtools.processes import environment, wait_until_ready
from devtools.redis_server import free_port, private_redis_server
from devtools.send.client import Sender
from runtime.private_files import make_private
from runtime.redis.client import connect
from tests.console.cli import run_cli_in
from tests.console.terminal import terminal
from tests.scrape import wait_until

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/webhooks/meetergo/\S+")
NAMES = ("WEBHOOK_KEYS", "REDIS_URL", "DATABASE_URL", "REDIS_PREFIX")


COMMAND = [sys.executable, "-m", "console", "run"]
SOCKET = Path("data") / "redis" / "redis.sock"


def _environment(port: int) -> dict[str, str]:
    env = environment({"PORT": str(port)})
    return {name: value for name, value in env.items() if name not in NAMES}


@contextmanager
def running(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `make run` in a folder until all its processes work; kill it if it still runs at the end."""
    log = folder / "run.log"
    with log.open("wb") as file:
        process = subprocess.Popen(COMMAND, cwd=folder, env=_environment(port), stdout=file, stderr=file)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", log)
        _wait_for_all_three(log)
        yield process
    finally:
        process.kill()
        process.wait()


def test_it_runs_until_ctrl_c_and_the_address_survives_a_restart(tmp_path: Path) -> None:
    port, log, addresses = free_port(), tmp_path / "run.log", []
    with running(tmp_path, port) as process:
        addresses += ADDRESS.findall(log.read_text())
        assert Sender(addresses[0]).send(b'{"webhookType":"form_submission"}').status == 200
        wait_until(lambda: _exit_code(tmp_path, port, "status") == 0)  # when cron has run once
        assert _open_to_others(tmp_path / "data") == []
        assert_a_second_one_gives_an_error_message(tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, log.read_text()
        assert _is_gone(tmp_path)
    with running(tmp_path, port):
        addresses += ADDRESS.findall(log.read_text())
        assert Sender(addresses[1]).send(b'{"webhookType":"form_submission"}').status == 200
    wait_until(lambda: _is_gone(tmp_path) and not _processes_in(tmp_path))  # nothing goes on when it is killed
    assert addresses[0] == addresses[1]
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert (tmp_path / "data" / "inbox.db").exists()
    assert addresses[0].rpartition("/")[2] not in log.read_text().replace(addresses[0], "")


def assert_a_second_one_gives_an_error_message(folder: Path) -> None:
    env = _environment(free_port())
    done = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "runs here already" in done.stderr
    assert "Traceback" not in done.stderr


def test_closing_its_terminal_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(port := free_port()))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with terminal("run", columns=200) as screen:
        screen.wait_for("cron started")
        wait_until_ready(f"http://127.0.0.1:{port}", tmp_path / "unread")
        screen.close()
        wait_until(lambda: _is_gone(tmp_path) and not _processes_in(tmp_path))


def test_a_data_folder_readable_by_others_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "redis"
    folder.mkdir(parents=True, mode=0o755)
    (tmp_path / "data" / "inbox.db").touch(mode=0o644)
    (folder / "old.rdb").touch(mode=0o666)
    make_private(tmp_path / "data")
    assert _open_to_others(tmp_path / "data") == []


def test_a_long_path_has_a_redis_too(tmp_path: Path) -> None:
    with private_redis_server(tmp_path / ("deep" * 30)) as url, connect(url) as client:
        assert client.ping()
        path = Path(unquote(url.removeprefix("unix://").partition("?")[0]))
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def _open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def _exit_code(folder: Path, port: int, *words: str) -> int:
    """Run a command from another terminal; return its exit code."""
    return run_cli_in(folder, *words, PORT=str(port), REDIS_PREFIX=None).returncode


def _processes_in(folder: Path) -> list[str]:
    """Return the processes that use the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and process.name != str(os.getpid()):
                found.append(process.name)
    return found


def test_a_port_in_use_gives_an_error_message(tmp_path: Path) -> None:
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
    deadline = time.monotonic() + 30
    while not all(f"{name} started" in log.read_text() for name in ("web", "worker", "cron")):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def _is_gone(folder: Path) -> bool:
    with Redis(unix_socket_path=str(folder / SOCKET)) as client:
        try:
            client.ping()
        except NobodyThere:
            return True
    return False
