"""`make run`: everything on this machine until Ctrl-C, in an empty folder."""

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from redis.exceptions import ConnectionError as NobodyThere

from devtools.forked import ROOT
from devtools.processes import ProcessFailed, environment, wait_until_ready
from devtools.redis_server import free_port, private_redis_server
from devtools.run import RunSettings, _only_one, _print_welcome, generate_keys
from devtools.send.client import Sender
from runtime.env_file import read_env_file
from runtime.private_files import make_private
from runtime.redis.client import connect
from tests.console.cli import run_cli_in
from tests.console.terminal import terminal
from tests.waiting import wait_until

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
        assert_a_second_one_gives_an_error_message(tmp_path, process.pid)
        assert f"PORT={port} bin/inbox send booking_created" in log.read_text()
        assert_its_processes_are_forks_of_one_without_threads(process.pid)
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


def test_the_driver_and_the_encryption_are_imported_before_the_processes_are_forked() -> None:
    """Otherwise each of eight imports them for itself: on PostgreSQL, a fifth of the memory of all."""
    program = """
from sys import modules
from devtools.forked import preload
from devtools.run import RunSettings
preload(RunSettings(database_url="postgresql://inbox@db.invalid/inbox", webhook_keys="k" * 40, redis_url="redis://x"))
print({"psycopg", "sqlalchemy.dialects.postgresql.psycopg", "cryptography.fernet"} - modules.keys())
"""
    env = {**_environment(0), "BODY_KEYS": Fernet.generate_key().decode()}
    assert subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=env, text=True) == "set()\n"


def assert_its_processes_are_forks_of_one_without_threads(pid: int) -> None:
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1  # a fork lacks the others, which may hold locks
    memory = [_memory(each) for each in _descendants(pid)]
    assert len(memory) >= 8
    assert sum(proportional for proportional, _ in memory) < sum(resident for _, resident in memory) / 3


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, children.read_text().split()):
            yield from (child, *_descendants(child))


def _memory(pid: int) -> tuple[int, int]:
    """Proportional and resident set size, in kB."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    proportional, resident = (re.search(rf"^{name}: +(\d+)", rollup, re.MULTILINE) for name in ("Pss", "Rss"))
    assert proportional
    assert resident
    return int(proportional[1]), int(resident[1])


def assert_a_second_one_gives_an_error_message(folder: Path, pid: int) -> None:
    env = _environment(free_port())
    done = subprocess.run(COMMAND, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"runs here already, as process {pid}: stop that one" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_a_killed_redis_leaves_misleads_nobody(tmp_path: Path) -> None:
    (tmp_path / SOCKET).parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / SOCKET))
    done = run_cli_in(tmp_path, "status")
    assert done.returncode == 2
    assert done.stderr.startswith("REDIS_URL is not set: put it into the environment or into .env")
    assert "Or start `make run`" in done.stderr
    (tmp_path / "data" / "run.lock").write_text("4711\n")
    with _only_one(tmp_path / "data" / "run.lock"):
        assert (tmp_path / "data" / "run.lock").read_text() == f"{os.getpid()}\n"
        with (
            pytest.raises(ProcessFailed, match=f"as process {os.getpid()}: "),
            _only_one(tmp_path / "data" / "run.lock"),
        ):
            pass


@pytest.mark.parametrize(
    ("port", "env_file", "said"),
    [
        (8001, "", ["PORT=8001 bin/inbox webhook register", "PORT=8001 bin/inbox send", "    bin/inbox status\n"]),
        (8001, "PORT=8001\n", ["    bin/inbox webhook register", "    bin/inbox send", "    bin/inbox status\n"]),
        (8000, "PORT=8001\n", ["PORT=8000 bin/inbox webhook register", "PORT=8000 bin/inbox send"]),
        (8000, "", ["    bin/inbox webhook register", "    bin/inbox send", "    bin/inbox status\n"]),
    ],
)
def test_the_printed_commands_work_in_another_terminal(
    port: int, env_file: str, said: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(env_file)
    settings = RunSettings(webhook_keys="k" * 32, port=port)
    _print_welcome(settings, read_env_file(tmp_path / ".env"), [], has_own_redis=True)
    printed = capsys.readouterr().out
    assert f"http://127.0.0.1:{port}/webhooks/meetergo/" in printed
    assert [each for each in said if each not in printed] == []
    _print_welcome(settings, read_env_file(tmp_path / ".env"), [], has_own_redis=False)
    assert "bin/inbox status     (with the same REDIS_URL)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("port", "env_file", "said"),
    [
        (8401, "", "link: DASHBOARD_PORT=8401 bin/inbox dashboard login"),
        (8401, "DASHBOARD_PORT=8401\n", "link: bin/inbox dashboard login"),
        (8400, "", "link: bin/inbox dashboard login"),
    ],
)
def test_so_does_the_one_for_another_login_link(
    port: int, env_file: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text(env_file)
    settings = RunSettings(webhook_keys="k" * 32, dashboard_port=port)
    _print_welcome(settings, read_env_file(tmp_path / ".env"), [], has_own_redis=True)
    assert said in capsys.readouterr().out


def test_keys_in_files_are_not_generated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WEBHOOK_KEYS", "BODY_KEYS"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    (tmp_path / ".env").write_text("WEBHOOK_KEYS_FILE=/run/secrets/webhook_keys\n")
    assert generate_keys(tmp_path / ".env") == ["BODY_KEYS"]


def test_closing_its_terminal_ends_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(port := free_port()))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    with terminal("run", columns=200) as screen:
        screen.wait_for("cron started")
        wait_until_ready(f"http://127.0.0.1:{port}", tmp_path / "unread")
        screen.close()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: _is_gone(tmp_path) and not _processes_in(tmp_path))
        assert _processes_in(tmp_path) == []
        assert _is_gone(tmp_path)


def test_a_data_folder_readable_by_others_is_made_private(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "redis"
    folder.mkdir(parents=True, mode=0o755)
    (tmp_path / "data" / "inbox.db").touch(mode=0o644)
    (folder / "old.rdb").touch(mode=0o666)
    make_private(tmp_path / "data")
    assert _open_to_others(tmp_path / "data") == []


@pytest.mark.parametrize("name", ["deep" * 30, "My Projects"])
def test_a_long_path_or_one_with_blanks_has_a_redis_too(name: str) -> None:
    with TemporaryDirectory() as short:  # pytest's own is too long for a socket in any case
        link = Path(short) / name / "redis.sock"
        with private_redis_server(link.parent) as url, connect(url) as client:
            assert " " not in client.client_info()["addr"]  # RQ's workers ask for it
            path = Path(unquote(url.removeprefix("unix://").partition("?")[0]))
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            assert link.resolve() == path.resolve()  # the console finds it there
        assert not link.is_symlink()


def _open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


def _exit_code(folder: Path, port: int, *words: str) -> int:
    """Run a command from another terminal; return its exit code."""
    return run_cli_in(folder, *words, PORT=str(port), REDIS_PREFIX=None).returncode


def _processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that use the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def test_a_port_in_use_gives_an_error_message(tmp_path: Path) -> None:
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
    deadline = time.monotonic() + 60
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
