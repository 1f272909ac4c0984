"""`make run`: run everything on this machine until Ctrl-C, with defaults for missing settings."""

import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from queue import Empty
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from cryptography.fernet import Fernet
from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Process
from redis.exceptions import RedisError
from rich.console import Console

from console.cli.audit import login_name
from devtools.forked import ForkedProcess, preload, program_of
from devtools.processes import PROCESSES, ProcessFailed, commands, environment, run_release
from devtools.redis_server import free_port, private_redis_server
from operations.dashboard_login import LoginSigner
from operations.settings import ConsoleSettings, DashboardAddressSettings
from operations.store_errors import store_error_message
from runtime.env_file import EnvFile, UnusableFile, read_env_file
from runtime.env_file import environment as environment_of
from runtime.private_files import make_private
from runtime.redis.client import connect
from runtime.settings import FILE_SUFFIX, EncryptedStoreSettings, StoreSettings, exit_with_message, port_problem

HOST = "127.0.0.1"
STOPPED = (f" (rc=-{signal.SIGTERM.value})", "")
"""Part of honcho's line about a process that it stopped, and its replacement: SIGTERM is not a crash."""
EXIT_INTERRUPTED = 130
MAX_READ = 64 * 1024
"""As many bytes as a pipe holds."""


class RunSettings(ConsoleSettings, DashboardAddressSettings, EncryptedStoreSettings):
    """Settings of `make run`: the addresses that it prints, and the database for which it imports the driver."""


def run(folder: Path) -> int:
    """Start receiver, workers, scheduler and dashboard, and print their addresses.

    Args:
        folder: folder of `.env` and `data/`.

    Returns:
        The exit code: 0 after Ctrl-C.

    Raises:
        NoRedisServer: REDIS_URL is unset, and no Redis server was found.
        ProcessFailed: a process cannot start, or `make run` already runs in this folder; the message says why.
    """
    make_private(folder / "data")
    with _only_one(folder / "data" / "run.lock"):
        generated = generate_keys(folder / ".env")
        settings = RunSettings.load()
        _check_port("PORT", settings.port)
        settings.dashboard_port = _dashboard_port(settings)
        with _redis(folder) as redis:
            log_format = {"LOG_FORMAT": "text"} if sys.stdout.isatty() else {}
            ports = {"PORT": str(settings.port), "DASHBOARD_PORT": str(settings.dashboard_port)}
            env = environment({**log_format, **redis, **ports, "HOST": HOST}, folder)
            preload(settings)
            run_release(env, folder, of_this_process=True)
            _print_welcome(settings, read_env_file(folder / ".env"), generated, has_own_redis=bool(redis))
            code = _run_processes(env, folder)
    return 0 if code == EXIT_INTERRUPTED else code


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a file lock, which is released however this process ends.

    Raises:
        ProcessFailed: another process holds it.
    """
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            raise ProcessFailed(
                f"meetergo-inbox runs here already, as process {file.read().strip()}: stop that one (Ctrl-C in its "
                "terminal), or use another folder for this one"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    """Run a private Redis unless one is configured; yield the setting with its URL."""
    given = environment_of(folder / ".env")
    if given.get("REDIS_URL", "").strip() or given.get("REDIS_URL" + FILE_SUFFIX, "").strip():
        _check_redis(StoreSettings.load().redis_url)
        yield {}
        return
    with private_redis_server(folder / "data" / "redis") as url:
        yield {"REDIS_URL": url}


GENERATED: dict[str, Callable[[], str]] = {
    "WEBHOOK_KEYS": lambda: secrets.token_urlsafe(32),
    "BODY_KEYS": lambda: Fernet.generate_key().decode(),
}


def generate_keys(path: Path) -> list[str]:
    """Write missing keys to `.env`, so that the address and the stored bodies survive a restart.

    Returns:
        The names of the generated keys.
    """
    try:
        known = environment_of(path)
        missing = [name for name in GENERATED if not known.get(name) and not known.get(name + FILE_SUFFIX)]
        if missing:
            _write(path, read_env_file(path).with_values({name: GENERATED[name]() for name in missing}))
    except UnusableFile as error:
        exit_with_message(f"{error} (see .env.example).")
    return missing


def _write(path: Path, content: bytes) -> None:
    """Write a file atomically through a temporary one."""
    path = path.resolve()
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    temporary.replace(path)


def _run_processes(env: dict[str, str], folder: Path) -> int:
    supervisor = _Supervisor(_Screen())
    for name in (*PROCESSES, "dashboard"):
        supervisor.add_process(name, commands()[name], env=env, cwd=folder)
    _stop_on_hangup()
    supervisor.loop()
    return int(supervisor.returncode or 0)


class _Supervisor(Manager):  # type: ignore[misc] # honcho has no types
    """honcho's, but its processes are forks of this one, which has imported their programs; see `devtools.forked`."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(printer)
        self.events = _Output()

    def _start(self) -> None:
        for entry in self._processes.values():
            self.events.start(entry["obj"])


class _Output:
    """What the processes print, and that they start and stop, as honcho's queue of events."""

    def __init__(self) -> None:
        self._selector = DefaultSelector()
        self._events: deque[Message] = deque()
        self._begun: dict[int, bytes] = {}

    def start(self, wanted: Process) -> None:
        """Start a process."""
        reading, writing = os.pipe()
        program = program_of(wanted.cmd)
        assert program  # noqa: S101 - all of the Procfile's are ours
        process = ForkedProcess(program, wanted.cwd, writing, wanted.env, of_this_process=True)
        os.close(writing)
        self._selector.register(reading, EVENT_READ, (wanted, process))
        self._add(wanted, "start", {"pid": process.pid})

    def get(self, timeout: float) -> Message:
        """Return the next event.

        Raises:
            Empty: there is none within the timeout, in seconds.
        """
        if not self._events:
            for key, _ in self._selector.select(timeout):
                self._read(key.fd, *key.data)
        if not self._events:
            raise Empty
        return self._events.popleft()

    def _read(self, pipe: int, wanted: Process, process: ForkedProcess) -> None:
        """Read lines, or the end: by then the process and all its children have ended, or closed their output."""
        data = os.read(pipe, MAX_READ)
        lines, line_end, self._begun[pipe] = (self._begun.get(pipe, b"") + data).rpartition(b"\n")
        if lines or line_end:
            self._add(wanted, "line", lines + line_end)
        if data:
            return
        if rest := self._begun.pop(pipe):
            self._add(wanted, "line", rest)
        self._selector.unregister(pipe)
        os.close(pipe)
        self._add(wanted, "stop", {"returncode": process.wait()})

    def _add(self, wanted: Process, kind: str, data: Any) -> None:
        self._events.append(Message(kind, data, datetime.now(), wanted.name, wanted.colour))  # noqa: DTZ005 - for eyes


class _Screen(Printer):  # type: ignore[misc] # honcho has no types
    """Prints the output of the processes. The terminal may be closed while they stop."""

    def write(self, message: Any) -> None:
        if isinstance(message.data, str):
            message = message._replace(data=message.data.replace(*STOPPED))
        with suppress(OSError):
            super().write(message)


def _stop_on_hangup() -> None:
    """Stop on SIGHUP: otherwise the processes would run on unseen and hold the port. Under nohup, ignore it."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def _dashboard_port(settings: RunSettings) -> int:
    """Return the dashboard's port; a free one if the default is taken, for example by another `make run`."""
    if "dashboard_port" in settings.model_fields_set:
        _check_port("DASHBOARD_PORT", settings.dashboard_port)
    return free_port() if port_problem(HOST, settings.dashboard_port) else settings.dashboard_port


def _check_port(setting: str, port: int) -> None:
    if port_problem(HOST, port):
        raise ProcessFailed(f"port {port} is taken: stop the process that uses it, or set {setting} to another")


def _check_redis(url: str) -> None:
    """Fail if Redis is down at the start; the processes wait out later outages."""
    try:
        with connect(url) as client:
            client.ping()
    except RedisError as error:
        raise ProcessFailed(
            f"{store_error_message(error)} (REDIS_URL; `make run` starts a Redis of its own without it)"
        ) from None


def _print_welcome(settings: RunSettings, env_file: EnvFile, generated: list[str], *, has_own_redis: bool) -> None:
    """Print the addresses, and commands that work in another terminal, which lacks this one's variables."""
    console = Console(highlight=False, soft_wrap=True)
    with_port = _unless_known(env_file, "PORT", settings.port, "8000")
    with_dashboard_port = _unless_known(env_file, "DASHBOARD_PORT", settings.dashboard_port, "8400")
    is_redis_elsewhere = not has_own_redis and not any(
        name in env_file.values for name in ("REDIS_URL", "REDIS_URL_FILE")
    )
    console.print("\n[bold]meetergo-inbox is running.[/bold] Ctrl-C stops everything.\n")
    console.print("  Register this address with meetergo; it is a secret:")
    console.print(f"    [bold]{settings.address}[/bold]")
    if not settings.public_url:
        console.print("    (PUBLIC_URL is unset: meetergo reaches it only through an https tunnel or proxy)")
    console.print(f"    {with_port}bin/inbox webhook register     (with MEETERGO_API_KEY in .env)")
    console.print("  Send a sample, from another terminal:")
    console.print(f"    {with_port}bin/inbox send booking_created")
    console.print("  Open the operators' page, once within 10 minutes:")
    name = login_name()
    link = LoginSigner(settings.webhook_keys).link(settings.dashboard_base_url, name, "people")
    console.print(f"    [bold]{link}[/bold]")
    console.print(f"    (another link: {with_dashboard_port}bin/inbox dashboard login --role people)")
    console.print("  Look at everything, from there:")
    console.print(f"    bin/inbox status{'     (with the same REDIS_URL)' if is_redis_elsewhere else ''}")
    if generated:
        console.print(
            f"  New in .env: {', '.join(generated)}. Keep that file: the address and the stored bodies need it."
        )
    console.print()


def _unless_known(env_file: EnvFile, name: str, port: int, default: str) -> str:
    """Return what to type before a command so that it has this port, or nothing if it has it anyway."""
    return "" if env_file.values.get(name, default).strip() == str(port) else f"{name}={port} "
