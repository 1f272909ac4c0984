"""`make run`: everything on this machine until Ctrl-C, with what nobody has set yet."""

import os
import secrets
import socket
from contextlib import nullcontext
from pathlib import Path

from dotenv import dotenv_values
from honcho.manager import Manager
from rich.console import Console

from console.redis_server import redis_server
from console.settings import ConsoleSettings
from console.stage import PROCESSES, StageFright, commands, environment, run_to_its_end
from meetergo.address import Addresses

HOST = "127.0.0.1"
STOPPED_BY_CTRL_C = 130


def run(folder: Path) -> int:
    """Starts receiver, worker and schedule, and prints where they are.

    Args:
        folder: where `.env` and `data/` are.

    Returns:
        The exit code: 0 after Ctrl-C.

    Raises:
        NoRedisServer: REDIS_URL is unset, and there is no Redis to start.
        StageFright: something cannot start; the message says why.
    """
    invented = invent_keys(folder / ".env")
    settings = ConsoleSettings.load()
    _check_port(settings.port)
    given = os.environ.get("REDIS_URL") or dotenv_values(folder / ".env").get("REDIS_URL")
    with nullcontext(given) if given else redis_server(folder / "data" / "redis") as redis_url:
        env = environment({"REDIS_URL": redis_url, "PORT": str(settings.port), "HOST": HOST})
        run_to_its_end("release", env, folder)
        _greet(settings, redis_url, invented=invented)
        code = _manage(env, folder)
    return 0 if code == STOPPED_BY_CTRL_C else code


def invent_keys(path: Path) -> bool:
    """Writes signing keys to `.env` if nobody has set any, so that the address survives a restart.

    Returns:
        Whether it had to.
    """
    if os.environ.get("WEBHOOK_KEYS") or dotenv_values(path).get("WEBHOOK_KEYS"):
        return False
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a") as file:
        file.write(f"WEBHOOK_KEYS={secrets.token_urlsafe(32)}\n")
    path.chmod(0o600)
    return True


def _manage(env: dict[str, str], folder: Path) -> int:
    manager = Manager()
    for name in PROCESSES:
        manager.add_process(name, commands()[name], env=env, cwd=str(folder))
    manager.loop()
    return int(manager.returncode or 0)


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise StageFright(f"port {port} is taken: stop who uses it, or set PORT to another") from None


def _greet(settings: ConsoleSettings, redis_url: str, *, invented: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    address = settings.receiver_url + Addresses(settings.webhook_keys).path(settings.webhook_account)
    console.print("\n[bold]meetergo-inbox is running.[/bold] Ctrl-C stops everything.\n")
    console.print("  Register this address with meetergo; it is a secret:")
    console.print(f"    [bold]{address}[/bold]")
    if not settings.public_url:
        console.print("    (PUBLIC_URL is unset: meetergo reaches it only through an https tunnel or proxy)")
    console.print("  Send a sample, from another terminal:")
    console.print("    .venv/bin/python -m console send booking_created")
    console.print(f"  Look at the queue:\n    .venv/bin/rq info --url {redis_url}")
    if invented:
        console.print("  The signing key of the address is new; it is kept in .env")
    console.print()
