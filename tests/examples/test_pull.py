"""The example consumers follow the real read API, go on from their cursor, and start again when it is gone."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete, update

from devtools.processes import ROOT
from devtools.send import samples
from models.booking import BookingChange
from runtime.database import Database
from tests.read_api.conftest import create_token
from tests.worker.conftest import harness, open_harness
from tests.worker.harness import AT, START, Harness, later

__all__ = ["harness", "open_harness"]
PULL = ROOT / "examples" / "pull"
CLIENTS = [
    [sys.executable, str(PULL / "follow.py")],
    pytest.param(
        [shutil.which("node") or "", str(PULL / "follow.mjs")],
        marks=pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
    ),
]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    """The read API in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "DATABASE_URL": database_url, "API_PORT": str(port), "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-m", "read_api"], env=env, cwd=tmp_path) as server:
        transport = httpx.HTTPTransport(retries=8)  # with growing pauses, half a minute in all
        with httpx.Client(transport=transport) as client:
            assert client.get(f"http://127.0.0.1:{port}/healthz", timeout=30).status_code == 200
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@contextmanager
def running(command: list[str], url: str, token: str, folder: Path) -> Iterator[Callable[[], str]]:
    """Run an example; yield a function that returns its next line."""
    env = {"PATH": os.environ["PATH"], "API_URL": url, "API_TOKEN": token}
    with subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        output = process.stdout
        try:
            yield lambda: output.readline().strip()
        finally:
            process.kill()


@pytest.mark.parametrize("command", CLIENTS, ids=["python", "node"])
def test_a_consumer_gets_each_change_across_restarts(
    command: list[str], url: str, harness: Harness, database: Database, tmp_path: Path
) -> None:
    token = create_token(database)
    harness.process(samples.created("b1", START, AT))
    with running(command, url, token, tmp_path) as line:
        assert line() == "created b1 confirmed"
        harness.process(samples.cancelled("b1", START, later(5)))
        assert line() == "cancelled b1 cancelled", "while it waits"
    harness.process(samples.created("b2", START, AT))
    with running(command, url, token, tmp_path) as line:
        found = line()
        if found == "cancelled b1 cancelled":  # it was killed before it wrote its cursor
            found = line()
        assert found == "created b2 confirmed"
        harness.process(samples.created("b3", START, AT))
        assert line() == "created b3 confirmed"  # so the cursor is behind b2 now
    with database.transaction() as session:  # as after a restore: other changes at the same places
        session.execute(delete(BookingChange).where(BookingChange.booking_id == "b1"))
        session.execute(update(BookingChange).values(at=AT))
    with running(command, url, token, tmp_path) as line:
        assert line() == "created b2 confirmed"
