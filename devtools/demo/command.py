"""`make demo`: send real deliveries to a real receiver and show the result of each."""

import base64
import secrets
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.fernet import Fernet
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import exists, func, select

from devtools.demo.actors import HOST, SECOND, ActionResult, Actors
from devtools.demo.scenario import BOOKINGS, NOTHING_NEW, NOTHING_STORED, NOTIFICATIONS, scenario
from devtools.demo.webhook_sink import WebhookSink, open_webhook_sink
from devtools.processes import ProcessFailed, environment, processes, wait_until_ready
from devtools.redis_server import free_port, private_redis_server
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.server import Sandbox, sandbox
from models.account import DEFAULT
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from operations.text import short
from receiver.settings import DEFAULT_MAX_BODY
from runtime.database import Database
from runtime.signed_address import WEBHOOK_PATH, AddressSigner

TIMEOUT = timedelta(seconds=60)
PROCESSED_TABLES = (Delivery, Notification)
HOSTS = f"external_id,email,given_name,family_name\n4711,{HOST},The,Host\n"


def run_demo(console: Console) -> bool:
    """Run the demo on private stores and print it.

    Returns:
        Whether every result was as expected.

    Raises:
        NoRedisServer: there is no Redis to start.
        ProcessFailed: a process does not start or makes no progress.
    """
    started = time.monotonic()
    console.print("\n[bold]meetergo-inbox[/bold]: from a guest's click at meetergo to a booking and a notification\n")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with (
        tempfile.TemporaryDirectory(prefix="meetergo-inbox-") as name,
        private_redis_server(Path(name) / "redis") as redis_url,
        open_webhook_sink(secret) as sink,
        sandbox(companies=2) as meetergo,
    ):
        folder, port = Path(name), free_port()
        settings = {
            "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": secrets.token_urlsafe(32),
            "BODY_KEYS": Fernet.generate_key().decode(),
            "NOTIFY_DEFAULT": f"log:,{sink.url}",
            "NOTIFY_SIGNING_SECRET": secret,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "MEETERGO_API_URL": meetergo.url,
            "MEETERGO_API_KEY": meetergo.key,
            "METRICS_PORT": "",  # settings in .env are for long-running processes
            "ALERT_CHANNELS": "",
            "no_proxy": "*",  # all of it stays on this machine
        }
        as_expected = _run_processes(console, settings, folder, meetergo, sink)
    console.print(
        "\nThe same on a web page, with its own receiver: [bold]make run[/bold] prints a link to the dashboard, and"
        " [bold]bin/inbox dashboard login[/bold] another (docs/dashboard.md)."
    )
    result = "[green]All as promised" if as_expected else "[red]NOT as promised"
    console.print(f"\n{result}[/], in {time.monotonic() - started:.0f} seconds.\n")
    return as_expected


def _run_processes(
    console: Console, settings: Mapping[str, str], folder: Path, meetergo: Sandbox, sink: WebhookSink
) -> bool:
    env, url = environment(settings), settings["PUBLIC_URL"]
    database = Database(settings["DATABASE_URL"])
    address = url + AddressSigner([settings["WEBHOOK_KEYS"]]).path("default")
    actors = Actors(meetergo, address, f"{url}{WEBHOOK_PATH}/default.{'A' * 43}", env, folder)
    actors.run_command("migrate")
    without_key = {name: value for name, value in env.items() if name != "MEETERGO_API_KEY"}  # only the operator's
    with processes(without_key, folder) as logs:
        wait_until_ready(url, logs["web"])
        _set_up(console, actors)
        results = [_run_steps(console, database, actors), _show_bookings(console, database)]
        results += [_show_notifications(console, database, sink), _serve_second_client(console, database, actors)]
    database.close()
    return all(results)


def _set_up(console: Console, actors: Actors) -> None:
    """Set up as in the README: onboard the hosts, then register the address."""
    (actors.folder / "hosts.csv").write_text(HOSTS)
    table = _table("What the operator typed", "bin/inbox ...", "it said")
    for words in (("users", "onboard", "hosts.csv"), ("webhook", "register")):
        table.add_row(" ".join(words), actors.run_command(*words).response)
    console.print(table)


def _run_steps(console: Console, database: Database, actors: Actors) -> bool:
    table = _table("What happened", "", "the receiver's answer", "what came of it", "")
    all_as_expected = True
    now = datetime.now(UTC).replace(microsecond=0)
    for step in scenario(now, DEFAULT_MAX_BODY, lambda actors: _reconcile(actors, database)):
        before = _count(database)
        result = step.run(actors)
        _wait_until_at_rest(database)
        outcome = _outcome_of(database, result.delivery_id, before)
        as_expected = outcome == step.expected and step.response in (None, result.response)
        table.add_row(step.title, result.response, outcome, _mark(as_expected))
        all_as_expected = all_as_expected and as_expected
    console.print(table)
    return all_as_expected


def _reconcile(actors: Actors, database: Database) -> ActionResult:
    def synthetic_delivery_id() -> str | None:
        with database.read_only() as session:
            return session.scalar(select(Delivery.id).where(Delivery.source == "reconcile"))

    result = actors.run_command("reconcile", when_done=synthetic_delivery_id)
    return ActionResult("finds it", result.delivery_id)


def _outcome_of(database: Database, delivery_id: str | None, before: tuple[int, int]) -> str:
    with database.read_only() as session:
        delivery = session.get(Delivery, delivery_id or "")
        if delivery is None:
            return NOTHING_STORED
        caused = select(BookingChange.kind).where(BookingChange.caused_by(delivery))
        kinds = list(session.scalars(caused.order_by(BookingChange.id)))
    if delivery.status == "dead":
        return f"dead: {delivery.last_error}"
    if delivery.note:
        return f"kept: {delivery.note}"
    is_repeat, is_silent = _count(database)[0] == before[0], _count(database)[1] == before[1]
    if (is_repeat or not kinds) and is_silent:
        return NOTHING_NEW
    return "booking " + ", ".join(kind.replace("_", " ") for kind in kinds)


def _show_bookings(console: Console, database: Database) -> bool:
    table = _table("The bookings", "booking", "status", "starts (UTC)", "host", "attendees")
    with database.read_only() as session:
        bookings = session.scalars(select(Booking).order_by(Booking.created_at)).all()
        hosts = {user.id: user.name for user in session.scalars(select(PlatformUser))}
    for booking in bookings:
        starts = f"{booking.starts_at:%Y-%m-%d %H:%M}" if booking.starts_at else ""
        names = ", ".join(person.get("fullname", "") for person in booking.attendees)
        table.add_row(short(booking.id), booking.status, starts, hosts.get(booking.platform_user_id or 0), names)
    console.print(table)
    return [booking.status for booking in bookings] == BOOKINGS


def _show_notifications(console: Console, database: Database, sink: WebhookSink) -> bool:
    table = _table("The notifications", "kind", "booking", "channel", "status", "")
    with database.read_only() as session:
        sent = session.scalars(select(Notification).order_by(Notification.id)).all()
    for notification in sent:
        arrived = sink.received.get(notification.message_id) == f"booking.{notification.kind}"
        as_expected = notification.status == "done" and (notification.channel == "log" or arrived)
        verified = "signature verified" if arrived else ""
        table.add_row(
            notification.kind,
            short(notification.booking_id),
            notification.channel,
            notification.status,
            verified or _mark(as_expected),
        )
    console.print(table)
    by_channel = [
        [notification.kind for notification in sent if notification.channel == channel] for channel in ("log", "http")
    ]
    return by_channel == [NOTIFICATIONS, NOTIFICATIONS] and len(sink.received) == len(NOTIFICATIONS)


def _serve_second_client(console: Console, database: Database, actors: Actors) -> bool:
    """Add an account for another company of meetergo, as an agency does for each client."""
    actors.meetergo.faults = FaultPlan()
    table = _table("A second client of the agency", "", "it said", "account", "")
    add, register = ("accounts", "add", SECOND, "--api-key"), ("webhook", "register", "--account", SECOND)
    table.add_row(
        " ".join(add), actors.run_command(*add, typed=actors.meetergo.accounts[1].key).response.partition(":")[0]
    )
    table.add_row(" ".join(register), actors.run_command(*register).response)
    before, result = _count(database), actors.guest_of_second_client_books(3)
    _wait_until_at_rest(database)
    with database.read_only() as session:
        accounts = session.scalars(select(Booking.account).where(Booking.account != DEFAULT)).all()
    as_expected = _outcome_of(database, result.delivery_id, before) == "booking created" and accounts == [SECOND]
    table.add_row("its guest books", result.response, ", ".join(accounts), _mark(as_expected))
    console.print(table)
    return as_expected


def _wait_until_at_rest(database: Database) -> None:
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    while time.monotonic() < deadline:
        with database.read_only() as session:
            waiting = [session.scalar(select(exists().where(rows.has_status("pending")))) for rows in PROCESSED_TABLES]
        if not any(waiting):
            return
        time.sleep(0.02)
    raise ProcessFailed("the worker made no progress")


def _count(database: Database) -> tuple[int, int]:
    with database.read_only() as session:
        deliveries, notifications = (
            session.scalar(select(func.count()).select_from(rows)) or 0 for rows in PROCESSED_TABLES
        )
    return deliveries, notifications


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))


def _mark(as_expected: bool) -> str:
    return "[green]ok[/]" if as_expected else "[red]NOT as promised[/]"
