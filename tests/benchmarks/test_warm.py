"""Warming reads a database's files without releasing SQLite's locks of this process."""

import subprocess
import sys
from pathlib import Path

from benchmarks.growth.warm import warm
from benchmarks.service import open_reader
from models.migrate import migrate
from runtime.database import Database

WRITES = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("CREATE TABLE later AS SELECT 1 AS one")
connection.commit()
connection.close()
"""
"""The last process to close SQLite removes its log; one that lost its locks would continue to read the removed log."""


def test_a_reader_sees_later_writes_of_others(tmp_path: Path) -> None:
    path = tmp_path / "warm.db"
    database = Database(f"sqlite:///{path}")
    migrate(database.engine)
    database.close()
    with open_reader(f"sqlite:///{path}") as reader:
        reader.pending()

        warm(reader, f"sqlite:///{path}")
        subprocess.run([sys.executable, "-c", WRITES, path], check=True)

        assert Path(f"{path}-wal").exists()
        assert reader.number("SELECT one FROM later") == 1
