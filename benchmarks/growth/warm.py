"""Warm-up: before each turn, the database's files are in memory, as on a server in use, and no vacuum runs.

Some machines, virtual ones above all, soon forget what of a file nobody reads for a while; then each visit of a page is
a visit of the disk, and only a database with many rows has pages that nobody visits for a while.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from benchmarks.service import DatabaseReader

READ = """
import contextlib, sys
for path in sys.argv[1:]:
    with contextlib.suppress(FileNotFoundError), open(path, "rb", buffering=0) as file:
        while file.read(2**20):
            pass
"""
"""Run in a process of its own: closing an SQLite file releases all of a process's locks on it. PostgreSQL may remove
a file meanwhile."""
LONGEST_SECONDS = 60.0
POLL_INTERVAL_SECONDS = 0.1
VACUUMS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
FOLDER = """
SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database WHERE datname = current_database()
"""


def warm(reader: DatabaseReader, url: str) -> None:
    """Read all files once; then wait until PostgreSQL vacuums no table of any database.

    Args:
        reader: at the database.
        url: where it is.
    """
    subprocess.run([sys.executable, "-c", READ, *_files(reader, url)], check=True)
    if url.startswith("postgresql"):
        until = time.monotonic() + LONGEST_SECONDS
        while reader.number(VACUUMS) and time.monotonic() < until:
            time.sleep(POLL_INTERVAL_SECONDS)


def _files(reader: DatabaseReader, url: str) -> Iterator[Path]:
    if url.startswith("postgresql"):
        ((folder,),) = reader.rows(FOLDER)
        return Path(folder).iterdir()
    path = Path(str(make_url(url).database))
    return path.parent.glob(f"{path.name}*")
