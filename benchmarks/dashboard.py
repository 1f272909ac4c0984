"""How quickly the dashboard's pages are rendered over many rows: `python -m benchmarks.dashboard --rows 1000000`.

Fills a database (an SQLite file, unless --database names another, empty one), makes some rows recent, pending and dead,
and asks for each page in this process. Prints the median and the 99th percentile in milliseconds, and the size.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import text

from benchmarks.growth.fill import analyze_and_flush, fill
from devtools.redis_server import redis_server
from models.migrate import migrate
from runtime.database import Database

KEY = "b" * 40
ROUNDS = 40
PAGES = (
    "/",
    "/deliveries",
    "/deliveries?status=dead",
    "/deliveries?host=7",
    "/bookings",
    "/bookings?tab=upcoming",
    "/bookings?tab=cancelled",
    "/bookings?host=7",
    "/bookings?state=cancelled&since=2020-01-01",
    "/notifications",
    "/notifications?status=dead&error=nothing",
    "/hosts",
    "/reconcile",
    "/audit",
    "/live",
)
STATES = (
    "UPDATE deliveries SET status = 'dead', last_error = 'KeyError: x' WHERE id LIKE '00%'",
    "UPDATE deliveries SET status = 'pending', ended_at = NULL, attempts = 2, last_error = 'KeyError: x'"
    " WHERE id LIKE '01%'",
    "UPDATE bookings SET platform_user_id = NULL WHERE id LIKE '%7'",
)


def main() -> None:
    """Parse the arguments, fill, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", help="URL of an empty database; an SQLite file in a temporary folder by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder) / "redis") as redis_url:
        url = arguments.database or f"sqlite:///{folder}/inbox.db"
        os.environ.update(DATABASE_URL=url, REDIS_URL=redis_url, WEBHOOK_KEYS=KEY)
        seconds = _fill(url, arguments.rows)
        print(f"{arguments.rows:,} deliveries, bookings and notifications, filled in {seconds:.0f} s")
        print(f"{'page':<46}{'p50 ms':>9}{'p99 ms':>9}{'bytes':>9}")
        for path, times, size in measure(_client()):
            print(f"{path:<46}{percentile(times, 50):>9.1f}{percentile(times, 99):>9.1f}{size:>9,}")


def _fill(url: str, rows: int) -> float:
    began, database = time.monotonic(), Database(url)
    migrate(database.engine)
    fill(database, rows, datetime.now(UTC))
    with database.engine.begin() as connection:
        for statement in STATES:
            connection.execute(text(statement))
    analyze_and_flush(database)
    database.close()
    return time.monotonic() - began


def _client() -> FlaskClient:
    from dashboard.access import SESSION_COOKIE
    from dashboard.app import create_app
    from dashboard.settings import DashboardSettings
    from operations.dashboard_login import LoginSigner, Operator

    client = create_app(DashboardSettings.load()).test_client()
    client.set_cookie(SESSION_COOKIE, LoginSigner([KEY]).session(Operator("benchmark", "read")))
    return client


def measure(client: FlaskClient) -> Iterator[tuple[str, Sequence[float], int]]:
    """Yield each page, its times in milliseconds, and its size in bytes."""
    for path in PAGES:
        client.get(path)  # compiles the template
        times: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            response = client.get(path)
            times.append((time.perf_counter() - began) * 1000)
            if response.status_code != 200:
                raise SystemExit(f"{path} answered {response.status_code}")
        yield path, times, len(response.data)


def percentile(times: Sequence[float], percent: int) -> float:
    """Return a percentile of the times."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


if __name__ == "__main__":
    main()
