"""How quickly the dashboard's pages are rendered over many rows: `python -m benchmarks.dashboard --rows 1000000`.

For SQLite and for PostgreSQL, it fills a database up to now, makes some rows pending, dead, cancelled, unhosted or
upcoming, and asks for each page in this process. It prints the table of docs/dashboard.md: of each database the median
and the 99th percentile of the time, the latter also of the processor time of this process and of the database, in
milliseconds; and the size. With --folder, the databases are kept there and used again; filling them takes minutes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask.testing import FlaskClient
from sqlalchemy import select, text

from benchmarks import machine
from benchmarks.growth.fill import AGE, analyze_and_flush, fill
from benchmarks.stores import KINDS, NAMES, Kind, postgresql_server
from devtools.redis_server import redis_server
from models.delivery import Delivery
from models.migrate import migrate
from runtime.database import Database, schema_of

KEY = "b" * 40
ROUNDS = 200
GUEST = "guest-1@example.com"
PAGES = (
    "/",
    "/deliveries",
    "/deliveries?status=dead",
    "/deliveries?status=pending",
    "/deliveries?host=7",
    f"/deliveries?guest={GUEST}",
    "/deliveries?event=booking_cancelled",
    "/deliveries?error=mandate",
    "/deliveries?status=dead&error=nothing",
    "/deliveries?since=1h",
    "/deliveries?until=60d",
    "/deliveries?status=done&until=20d",
    "/deliveries?booking=sample-12",
    "/errors",
    "/errors?of=notifications",
    "/bookings",
    "/bookings?tab=upcoming",
    "/bookings?tab=cancelled",
    "/bookings?tab=unhosted",
    "/bookings?host=7",
    f"/bookings?guest={GUEST}",
    "/bookings?state=cancelled&since=2020-01-01",
    "/notifications",
    "/notifications?status=dead",
    "/notifications?host=7",
    "/notifications?since=1h",
    f"/notifications?guest={GUEST}",
    "/notifications?status=dead&error=nothing",
    "/hosts",
    "/hosts?mapping=none",
    "/reconcile",
    "/runs",
    "/audit",
    "/audit?by=nobody",
    "/audit?kind=revealed",
    "/live",
    "/live/entries",
    "/settings",
)
STATES = (
    "UPDATE deliveries SET status = 'dead', last_error = 'KeyError: mandate_id' WHERE id LIKE '00%'",
    "UPDATE deliveries SET status = 'pending', ended_at = NULL, attempts = 2, last_error = 'TimeoutError: 5 s'"
    " WHERE id LIKE '01%'",
    "UPDATE notifications SET status = 'dead', last_error = 'refused: 550' WHERE key LIKE '00%'",
    "UPDATE bookings SET platform_user_id = NULL WHERE id LIKE '%7'",
    "UPDATE bookings SET status = 'cancelled' WHERE id LIKE '%5'",
    "INSERT INTO interventions (kind, delivery_id, booking_id, by, reason, at)"
    " SELECT 'replayed', id, booking_id, 'Ada', 'hook repaired', received_at FROM deliveries WHERE id LIKE '1%'",
)
DAYS_AHEAD = 16
"""Of the bookings, one in sixteen starts in the future, spread over as many days."""


@dataclass(frozen=True)
class Measured:
    """The requests of one page.

    Attributes:
        path: the page.
        times: of each request, in milliseconds.
        processor: the processor time of each request, in milliseconds.
        size: of the page, in bytes.
    """

    path: str
    times: Sequence[float]
    processor: Sequence[float]
    size: int


def main() -> None:
    """Parse the arguments, fill, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--store", choices=KINDS, nargs="*", default=KINDS)
    parser.add_argument("--folder", type=Path, help="keep the databases in this folder, and use those that it holds")
    parser.add_argument("--pages", nargs="*", default=PAGES)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        measured: dict[Kind, list[Measured]] = {}
        for kind in arguments.store:
            url, server = f"sqlite:///{folder / 'inbox.db'}", None
            if kind == "postgresql":
                url = stack.enter_context(postgresql_server(folder / kind))
                server = int((folder / kind / "postmaster.pid").read_text().split()[0])
            os.environ.update(DATABASE_URL=url, REDIS_URL=redis_url, WEBHOOK_KEYS=KEY)
            _fill(kind, url, arguments.rows)
            measured[kind] = list(measure(_client(), arguments.pages, server))
        print("\n".join(table(measured)))


def table(measured: Mapping[Kind, Sequence[Measured]]) -> Iterator[str]:
    """Yield the lines of the table, in Markdown."""
    heads = [f"{NAMES[kind]} {name}" for kind in measured for name in ("p50", "p99", "processor p99")]
    yield f"| page | {' | '.join(heads)} | kB |"
    yield f"|---|{'--:|' * (len(heads) + 1)}"
    for pages in zip(*measured.values(), strict=True):
        figures = [
            figure
            for page in pages
            for figure in (percentile(page.times, 50), percentile(page.times, 99), percentile(page.processor, 99))
        ]
        cells = " | ".join(f"{each:.0f}" for each in figures)
        yield f"| `{pages[0].path}` | {cells} | {max(page.size for page in pages) / 1000:.0f} |"


def _fill(kind: Kind, url: str, rows: int) -> None:
    """Fill an empty database; one that has rows is as an earlier run left it."""
    database, now = Database(url), datetime.now(UTC)
    migrate(database.engine)
    with database.read_only() as session:
        is_filled = bool(session.scalar(select(Delivery.id).limit(1)))
    if not is_filled:
        fill(database, rows, now + AGE)
        with database.transaction() as session:
            if kind == "postgresql":
                session.execute(text(f"SET LOCAL search_path TO {schema_of(session.connection())}"))
            for statement in STATES:
                session.execute(text(statement))
            for digit in range(DAYS_AHEAD):
                statement = "UPDATE bookings SET starts_at = :at, ends_at = :at WHERE id LIKE :ids"
                values = {"at": (now + timedelta(days=digit + 1)).replace(tzinfo=None), "ids": f"%{digit:x}3"}
                session.execute(text(statement), values)
        analyze_and_flush(database)
    database.close()


def _client() -> FlaskClient:
    from dashboard.access import SESSION_COOKIE
    from dashboard.rsgi import open_app
    from operations.dashboard_login import LoginSigner, Operator

    client = open_app().test_client()
    client.set_cookie(SESSION_COOKIE, LoginSigner([KEY]).session(Operator("benchmark", "operate")))
    return client


def measure(client: FlaskClient, pages: Sequence[str], server: int | None) -> Iterator[Measured]:
    """Ask for each page; `server` is the process id of PostgreSQL."""
    for path in pages:
        client.get(path)  # compiles the template
        times, processor = list[float](), list[float]()
        for _ in range(ROUNDS):
            began, began_processor = time.perf_counter(), _processor_seconds(server)
            response = client.get(path)
            times.append((time.perf_counter() - began) * 1000)
            processor.append((_processor_seconds(server) - began_processor) * 1000)
            if response.status_code != 200:
                raise SystemExit(f"{path} answered {response.status_code}")
        yield Measured(path, times, processor, len(response.data))


def _processor_seconds(server: int | None) -> float:
    """Return the processor time of this process and of the server's processes until now."""
    spent = time.process_time()
    for pid in machine.children(server) if server else ():
        with suppress(OSError):  # it ended meanwhile
            spent += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return spent


def percentile(times: Sequence[float], percent: int) -> float:
    """Return a percentile of the times."""
    return sorted(times)[min(len(times) - 1, len(times) * percent // 100)]


if __name__ == "__main__":
    main()
