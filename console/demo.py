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

from console.platform import Platform, platform
from console.redis_server import free_port, redis_server
from console.samples import HOST_ID
from console.sender import Answer, Sender
from console.stage import StageFright, environment, processes, run_to_its_end, wait_until_ready
from console.story import BOOKINGS, NEWS, NOTHING_NEW, NOTHING_STORED, Scene, story
from meetergo.address import WEBHOOK_PATH, Addresses
from models.booking import Booking, BookingChange
from models.database import Database
from models.delivery import Delivery, identify
from models.notification import Notification
from models.platform_user import PlatformUser
from receiver.settings import DEFAULT_MAX_BODY

PATIENCE = timedelta(seconds=20)
WORKED_OFF = (Delivery, Notification)


def play(console: Console) -> bool:
    """Plays the story on stores of its own and shows it.

    Returns:
        Whether everything came out as promised.

    Raises:
        NoRedisServer: there is no Redis to start.
        StageFright: a process does not start, or does not get on.
    """
    started = time.monotonic()
    console.print("\n[bold]meetergo-inbox[/bold]: from a webhook to a booking and a notification\n")
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    with (
        tempfile.TemporaryDirectory(prefix="meetergo-inbox-") as name,
        redis_server(Path(name) / "redis") as redis_url,
        platform(secret) as listener,
    ):
        folder, keys, port = Path(name), secrets.token_urlsafe(32), free_port()
        settings = {
            "DATABASE_URL": f"sqlite:///{folder / 'inbox.db'}",
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": keys,
            "BODY_KEYS": Fernet.generate_key().decode(),
            "NOTIFY_DEFAULT": f"log:,{listener.url}",
            "NOTIFY_SIGNING_SECRET": secret,
            "METRICS_PORT": "",  # nor does anybody have to hear of the delivery that dies in this story
            "ALERT_CHANNELS": "",
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        url = f"http://127.0.0.1:{port}"
        address = url + Addresses([keys]).path("default")
        kept = _on_stage(console, settings, folder, url, address, listener)
    console.print(f"\n{'[green]All as promised' if kept else '[red]NOT as promised'}[/], in {_since(started)}.\n")
    return kept


def _on_stage(
    console: Console, settings: Mapping[str, str], folder: Path, url: str, address: str, listener: Platform
) -> bool:
    env = environment(settings)
    run_to_its_end("release", env, folder)
    database = Database(settings["DATABASE_URL"])
    _invite_host(database)
    with processes(env, folder) as logs:
        wait_until_ready(url, logs["web"])
        deliveries = _play_scenes(console, database, address, f"{url}{WEBHOOK_PATH}/default.{'A' * 43}")
    endings = [deliveries, _show_bookings(console, database), _show_news(console, database, listener)]
    database.close()
    return all(endings)


def _play_scenes(console: Console, database: Database, address: str, forged: str) -> bool:
    table = _table("What was sent", "delivery", "answer", "became", "")
    all_kept = True
    for scene in story(datetime.now(UTC).replace(microsecond=0), DEFAULT_MAX_BODY):
        before = _count(database)
        answer = Sender(forged if scene.forged else address).send(scene.body)
        _wait_until_at_rest(database)
        became = _what_became(database, scene, before)
        kept = (answer.status, became) == (scene.status, scene.becomes)
        table.add_row(scene.title, _short(answer), became, _mark(kept))
        all_kept = all_kept and kept
    console.print(table)
    return all_kept


def _what_became(database: Database, scene: Scene, before: tuple[int, int]) -> str:
    with database.reading() as session:
        delivery = session.get(Delivery, identify(scene.body))
        caused = select(BookingChange.kind).where(BookingChange.delivery_id == identify(scene.body))
        kinds = list(session.scalars(caused.order_by(BookingChange.id)))
    if delivery is None:
        return NOTHING_STORED
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
        bookings = session.scalars(select(Booking).order_by(Booking.id)).all()
        hosts = {user.id: user.name for user in session.scalars(select(PlatformUser))}
    for booking in bookings:
        starts = f"{booking.starts_at:%Y-%m-%d %H:%M}" if booking.starts_at else ""
        names = ", ".join(person.get("fullname", "") for person in booking.attendees)
        table.add_row(booking.id, booking.status, starts, hosts.get(booking.platform_user_id or 0), names)
    console.print(table)
    return {booking.id: booking.status for booking in bookings} == BOOKINGS


def _show_news(console: Console, database: Database, listener: Platform) -> bool:
    table = _table("The notifications", "news", "booking", "channel", "status", "")
    with database.reading() as session:
        sent = session.scalars(select(Notification).order_by(Notification.id)).all()
    for news in sent:
        arrived = listener.received.get(news.message_id) == f"booking.{news.kind}"
        kept = news.status == "done" and (news.channel == "log" or arrived)
        verified = "signature verified" if arrived else ""
        table.add_row(news.kind, news.booking_id, news.channel, news.status, verified or _mark(kept))
    console.print(table)
    by_channel = [[news.kind for news in sent if news.channel == channel] for channel in ("log", "http")]
    return by_channel == [NEWS, NEWS] and len(listener.received) == len(NEWS)


def _invite_host(database: Database) -> None:
    with database.transaction() as session:
        session.add(PlatformUser(external_id="1", meetergo_user_id=HOST_ID, name="The host", email="host@example.com"))


def _wait_until_at_rest(database: Database) -> None:
    until = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < until:
        with database.reading() as session:
            waiting = [session.scalar(select(exists().where(rows.status == "pending"))) for rows in WORKED_OFF]
        if not any(waiting):
            return
        time.sleep(0.02)
    raise StageFright("the worker did not get on with its work")


def _count(database: Database) -> tuple[int, int]:
    with database.reading() as session:
        deliveries, news = (session.scalar(select(func.count()).select_from(rows)) or 0 for rows in WORKED_OFF)
    return deliveries, news


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1))


def _short(answer: Answer) -> str:
    said = answer.body.get("reason") or answer.body.get("status", "")
    return f"{answer.status} {said}"


def _mark(kept: bool) -> str:
    return "[green]ok[/]" if kept else "[red]NOT as promised[/]"


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.0f} seconds"
