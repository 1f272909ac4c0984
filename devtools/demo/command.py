"""`make demo`: a short story of real deliveries to a real receiver, and what became of each."""

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

from console.render.text import short
from devtools.demo.actors import HOST, Actors, Notified
from devtools.demo.scenario import BOOKINGS, NEWS, NOTHING_NEW, NOTHING_STORED, story
from devtools.demo.webhook_sink import WebhookSink, platform
from devtools.processes import ProcessFailed, environment, processes, run_to_its_end, wait_until_ready
from devtools.redis_server import free_port, private_redis_server
from devtools.sandbox.server import Sandbox, sandbox
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from receiver.settings import DEFAULT_MAX_BODY
from runtime.database import Database
from runtime.signed_address import WEBHOOK_PATH, AddressSigner

PATIENCE = timedelta(seconds=60)
WORKED_OFF = (Delivery, Notification)
HOSTS = f"external_id,email,given_name,family_name\n4711,{HOST},The,Host\n"


def play(console: Console) -> bool:
    """Plays the story on stores of its own and shows it.

    Returns:
        Whether everything came out as promised.

    Raises:
        NoRedisServer: there is no Redis to start.
        ProcessFailed: a process does not start, or does not get on.
    """
    started = time.monotonic()
    console.print("\n[bold]meetergo-inbox[/bold]: from a guest's click at meetergo to a booking and a notification\n")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with (
        tempfile.TemporaryDirectory(prefix="meetergo-inbox-") as name,
        private_redis_server(Path(name) / "redis") as redis_url,
        platform(secret) as listener,
        sandbox() as meetergo,
    ):
        folder, port = Path(name), free_port()
        settings = {
            "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": secrets.token_urlsafe(32),
            "BODY_KEYS": Fernet.generate_key().decode(),
            "NOTIFY_DEFAULT": f"log:,{listener.url}",
            "NOTIFY_SIGNING_SECRET": secret,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "MEETERGO_API_URL": meetergo.url,
            "MEETERGO_API_KEY": meetergo.key,
            "METRICS_PORT": "",  # what .env asks for is for what runs all day
            "ALERT_CHANNELS": "",
        }
        kept = _on_stage(console, settings, folder, meetergo, listener)
    console.print(f"\n{'[green]All as promised' if kept else '[red]NOT as promised'}[/], in {_since(started)}.\n")
    return kept


def _on_stage(
    console: Console, settings: Mapping[str, str], folder: Path, meetergo: Sandbox, listener: WebhookSink
) -> bool:
    env, url = environment(settings), settings["PUBLIC_URL"]
    run_to_its_end("release", env, folder)
    database = Database(settings["DATABASE_URL"])
    address = url + AddressSigner([settings["WEBHOOK_KEYS"]]).path("default")
    cast = Actors(meetergo, address, f"{url}{WEBHOOK_PATH}/default.{'A' * 43}", env, folder)
    with processes(env, folder) as logs:
        wait_until_ready(url, logs["web"])
        _set_up(console, cast)
        deliveries = _play_scenes(console, database, cast)
    endings = [deliveries, _show_bookings(console, database), _show_news(console, database, listener)]
    database.close()
    return all(endings)


def _set_up(console: Console, cast: Actors) -> None:
    """As the README tells a platform to: its hosts, then our address."""
    (cast.folder / "hosts.csv").write_text(HOSTS)
    table = _table("What the operator typed", "python -m console ...", "it said")
    for words in (("users", "onboard", "hosts.csv"), ("webhook", "register")):
        table.add_row(" ".join(words), cast.types(*words).answer)
    console.print(table)


def _play_scenes(console: Console, database: Database, cast: Actors) -> bool:
    table = _table("What happened", "", "the receiver's answer", "what came of it", "")
    all_kept = True
    now = datetime.now(UTC).replace(microsecond=0)
    for scene in story(now, DEFAULT_MAX_BODY, lambda cast: _reconcile(cast, database)):
        before = _count(database)
        told = scene.play(cast)
        _wait_until_at_rest(database)
        became = _what_became(database, told.delivery_id, before)
        kept = became == scene.becomes and scene.answer in (None, told.answer)
        table.add_row(scene.title, told.answer, became, _mark(kept))
        all_kept = all_kept and kept
    console.print(table)
    return all_kept


def _reconcile(cast: Actors, database: Database) -> Notified:
    def fed_in() -> str | None:
        with database.reading() as session:
            return session.scalar(select(Delivery.id).where(Delivery.source == "reconcile"))

    told = cast.types("reconcile", when_done=fed_in)
    return Notified("finds it", told.delivery_id)


def _what_became(database: Database, delivery_id: str | None, before: tuple[int, int]) -> str:
    with database.reading() as session:
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
    with database.reading() as session:
        bookings = session.scalars(select(Booking).order_by(Booking.created_at)).all()
        hosts = {user.id: user.name for user in session.scalars(select(PlatformUser))}
    for booking in bookings:
        starts = f"{booking.starts_at:%Y-%m-%d %H:%M}" if booking.starts_at else ""
        names = ", ".join(person.get("fullname", "") for person in booking.attendees)
        table.add_row(short(booking.id), booking.status, starts, hosts.get(booking.platform_user_id or 0), names)
    console.print(table)
    return [booking.status for booking in bookings] == BOOKINGS


def _show_news(console: Console, database: Database, listener: WebhookSink) -> bool:
    table = _table("The notifications", "news", "booking", "channel", "status", "")
    with database.reading() as session:
        sent = session.scalars(select(Notification).order_by(Notification.id)).all()
    for news in sent:
        arrived = listener.received.get(news.message_id) == f"booking.{news.kind}"
        kept = news.status == "done" and (news.channel == "log" or arrived)
        verified = "signature verified" if arrived else ""
        table.add_row(news.kind, short(news.booking_id), news.channel, news.status, verified or _mark(kept))
    console.print(table)
    by_channel = [[news.kind for news in sent if news.channel == channel] for channel in ("log", "http")]
    return by_channel == [NEWS, NEWS] and len(listener.received) == len(NEWS)


def _wait_until_at_rest(database: Database) -> None:
    until = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < until:
        with database.reading() as session:
            waiting = [session.scalar(select(exists().where(rows.has_status("pending")))) for rows in WORKED_OFF]
        if not any(waiting):
            return
        time.sleep(0.02)
    raise ProcessFailed("the worker did not get on with its work")


def _count(database: Database) -> tuple[int, int]:
    with database.reading() as session:
        deliveries, news = (session.scalar(select(func.count()).select_from(rows)) or 0 for rows in WORKED_OFF)
    return deliveries, news


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))


def _mark(kept: bool) -> str:
    return "[green]ok[/]" if kept else "[red]NOT as promised[/]"


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} seconds"
