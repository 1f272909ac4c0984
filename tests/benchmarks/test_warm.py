"""Warm: it reads the files of a database without taking SQLite's locks away from whoever looks."""

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
"""Whoever closes last removes SQLite's log: who is still there, but has lost its locks, goes on reading that one."""


def test_who_looks_sees_what_others_write_after_it(tmp_path: Path) -> None:
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
