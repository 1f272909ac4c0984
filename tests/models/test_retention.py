"""Pruning lets other writers in between its transactions."""

from datetime import UTC, datetime, timedelta
from threading import Event, Thread, get_ident

import pytest
from sqlalchemy import Connection, event

from benchmarks.growth.fill import fill
from models import retention
from models.retention import prune
from runtime.database import Database
from tests.raw_sql import sql

KEEP = {"done": timedelta(days=1), "dead": timedelta(days=1)}
OLD_ROWS = 60


def test_other_writers_get_the_lock_between_two_prune_transactions(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BATCH_SIZE", "SQLITE_BATCH_SIZE"):
        monkeypatch.setattr(retention, name, OLD_ROWS // 6)
    fill(database, OLD_ROWS, datetime.now(UTC))
    pruner, commits, stop = get_ident(), list[bool](), Event()

    def write() -> None:
        while not stop.is_set():
            with database.transaction() as session:
                session.execute(sql(session, "UPDATE platform_users SET name = 'The host' WHERE id = 1"))

    def record_commit(_connection: Connection) -> None:
        commits.append(get_ident() == pruner)

    writer = Thread(target=write)
    event.listen(database.engine, "commit", record_commit)
    writer.start()
    try:
        assert prune(database, datetime.now(UTC), KEEP)["deliveries"] == OLD_ROWS
    finally:
        stop.set()
        writer.join()
        event.remove(database.engine, "commit", record_commit)
    between = "".join("P" if is_pruner else "w" for is_pruner in commits)
    assert between.count("Pw") > between.count("PP"), between
