"""Pruning is a guest in the house: who wants to write while it goes on comes to it between two of its transactions."""

from datetime import UTC, datetime, timedelta
from threading import Event, Thread, get_ident

import pytest
from sqlalchemy import Connection, event, text

from benchmarks.growth.fill import fill
from models import retention
from models.retention import prune
from runtime.database import Database

KEEP = {"done": timedelta(days=1), "dead": timedelta(days=1)}
OLD = 60


def test_whoever_writes_gets_in_between_two_of_its_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AT_ONCE", "AT_ONCE_ALONE"):
        monkeypatch.setattr(retention, name, OLD // 6)
    fill(database, OLD, datetime.now(UTC))
    pruner, commits, stop = get_ident(), list[bool](), Event()

    def write() -> None:
        while not stop.is_set():
            with database.transaction() as session:
                session.execute(text("UPDATE platform_users SET name = 'The host' WHERE id = 1"))

    def note(_connection: Connection) -> None:
        commits.append(get_ident() == pruner)

    writer = Thread(target=write)
    event.listen(database.engine, "commit", note)
    writer.start()
    try:
        assert prune(database, datetime.now(UTC), KEEP)["deliveries"] == OLD
    finally:
        stop.set()
        writer.join()
        event.remove(database.engine, "commit", note)
    between = "".join("P" if is_pruner else "w" for is_pruner in commits)
    assert between.count("Pw") > between.count("PP"), between
