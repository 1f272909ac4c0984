"""The rehearsal says what would happen, and nothing happens."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis
from sqlalchemy import select, text
from sqlalchemy.orm import Session

import operations.replay.dry_run as dry_run_module
from devtools.send import samples
from models.booking import Booking, BookingChange
from models.delivery import Delivery
from models.notification import Notification
from models.search import RowSearch
from operations.replay.dry_run import dry_run
from operations.replay.report import DryRunReport
from operations.replay.selection import chunks, select_deliveries
from operations.replay.service import ReplayService
from runtime.database import Model
from runtime.errors import Permanent
from tests.snapshot import everything
from tests.worker.desk import AT, START, Desk, later
from tests.worker.test_convergence import BOOKINGS, KINDS, MINUTES, body

NOBODY: frozenset[str] = frozenset()
EVERYBODY = frozenset(["b1", "b2", "b3"])
BROKEN_FOR = {"bookings": NOBODY}
CREATED = samples.created("b1", START, AT)
MOVED = samples.rescheduled("b1", START + timedelta(hours=1), later(1), START)
EMPLOYED = {"webhookType": "new_employee", "id": samples.HOST_ID, "email": "host@example.com"}


def bad_hook(session: Session, booking: Booking, change: BookingChange) -> None:
    if booking.id in BROKEN_FOR["bookings"]:
        raise Permanent("the hook is broken")


def hook_that_takes_its_time(session: Session, booking: Booking, change: BookingChange) -> None:
    time.sleep(0.01)


def hook_that_commits(session: Session, booking: Booking, change: BookingChange) -> None:
    session.commit()


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    BROKEN_FOR["bookings"] = EVERYBODY
    return open_desk(platform_hook=f"{__name__}:bad_hook")


def repair_of(desk: Desk, **wanted: Any) -> ReplayService:
    return ReplayService(desk.office, "the operator", **wanted)


def outlook_of(desk: Desk, search: RowSearch | None = None, **wanted: Any) -> DryRunReport:
    chosen = select_deliveries(desk.office.inbox, (search or RowSearch()).deliveries()).chosen
    return dry_run(repair_of(desk, **wanted), chosen)


def replay_all(desk: Desk, search: RowSearch | None = None, **wanted: Any) -> None:
    chosen = select_deliveries(desk.office.inbox, (search or RowSearch()).deliveries()).chosen
    for chunk in chunks(chosen):
        repair_of(desk, **wanted).replay(chunk, datetime.now(UTC))
    desk.work_off()


def seen(desk: Desk) -> dict[str, dict[str, Any]]:
    return {booking.id: booking.seen() for booking in desk.all(Booking)}


def news(desk: Desk) -> dict[int, tuple[str, str, str, str]]:
    rows = [row for row in desk.all(Notification) if row.status == "pending"]
    return {row.id: (row.booking_id, row.kind, row.channel, row.recipient) for row in rows}


def test_a_rehearsal_says_what_each_booking_would_become_and_who_would_hear(desk: Desk) -> None:
    desk.tell(CREATED, MOVED, b"not json")
    BROKEN_FOR["bookings"] = NOBODY
    outlook = outlook_of(desk)
    assert [(v.delivery.booking_id, v.status, v.error, v.changes) for v in outlook.verdicts] == [
        ("", "dead", "the body is not JSON", False),
        ("b1", "done", None, True),
        ("b1", "done", None, True),
    ]
    (effect,) = outlook.effects
    assert effect.is_new
    assert effect.before["starts_at"] is None
    assert effect.after["starts_at"] == (START + timedelta(hours=1)).isoformat()
    # That it was created is old news by then.
    assert [(told.kind, told.recipient, told.again) for told in outlook.news] == [("rescheduled", "log", False)]


def test_a_rehearsal_names_only_the_fields_that_would_change(desk: Desk) -> None:
    BROKEN_FOR["bookings"] = NOBODY
    desk.tell(CREATED)
    BROKEN_FOR["bookings"] = EVERYBODY
    desk.tell(MOVED)
    BROKEN_FOR["bookings"] = NOBODY
    (effect,) = outlook_of(desk, RowSearch(status="dead")).effects
    assert not effect.is_new
    assert set(effect.before) == {"starts_at", "ends_at", "as_of"}


def test_what_would_fail_again_is_said_with_its_error(desk: Desk) -> None:
    desk.tell(CREATED)
    outlook = outlook_of(desk)
    assert [(verdict.status, verdict.error) for verdict in outlook.verdicts] == [("dead", "the hook is broken")]
    assert outlook.effects == outlook.news == []


@pytest.mark.parametrize("hook", ["bad_hook", "hook_that_commits"])
def test_a_rehearsal_keeps_nothing_and_rings_no_bell(open_desk: Callable[..., Desk], redis: Redis, hook: str) -> None:
    BROKEN_FOR["bookings"] = EVERYBODY
    desk = open_desk(platform_hook=f"{__name__}:bad_hook")
    desk.add_user(channels=["log:own"])
    desk.tell(CREATED, EMPLOYED, samples.created("b2", START, AT), MOVED, b"not json")
    BROKEN_FOR["bookings"] = frozenset(["b2"])
    desk = open_desk(platform_hook=f"{__name__}:{hook}")
    before = everything(desk.office.database, redis)
    outlook_of(desk, tells_again=True, reason="a try")
    assert everything(desk.office.database, redis) == before


def test_an_employee_who_came_with_the_bookings_owns_them_in_every_transaction(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mapping comes first, as a worker would take it, though each booking has a transaction of its own."""
    user = desk.add_user()
    desk.tell(*(samples.created(key, START, AT) for key in ("b1", "b2", "b3")))
    BROKEN_FOR["bookings"] = NOBODY
    desk.deliver(EMPLOYED)
    with desk.office.database.transaction() as session:
        for row in session.scalars(select(Delivery).where(Delivery.status == "pending")):
            row.fail(Permanent("died before it was handled"), datetime.now(UTC))
            row.event = "new_employee"
    monkeypatch.setattr(dry_run_module, "LONGEST_BATCH", timedelta(0))
    outlook = outlook_of(desk)
    assert [effect.after["platform_user_id"] for effect in outlook.effects] == [user.id] * 3
    assert len(outlook.verdicts) == 4
    assert len(outlook.news) == 3


def test_bookings_that_an_employee_links_are_told_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN_FOR["bookings"] = NOBODY
    desk.tell(CREATED, *(samples.created(key, START, AT, hostIds=[], hosts=[]) for key in ("b2", "b3")))
    desk.tell(EMPLOYED)
    user = desk.add_user(channels=["log:own"])
    monkeypatch.setattr(dry_run_module, "LONGEST_BATCH", timedelta(0))
    events = [RowSearch(event="new_employee"), RowSearch()]
    outlooks = [outlook_of(desk, search) for search in events]
    for outlook in outlooks:
        assert [(effect.booking_id, effect.after) for effect in outlook.effects] == [
            ("b1", {"platform_user_id": user.id})
        ]
        assert [told.kind for told in outlook.news] == ["created"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_whoever_writes_meanwhile_gets_the_lock_in_time(open_desk: Callable[..., Desk]) -> None:
    """On SQLite there is one; a receiver waits two seconds for it."""
    desk = open_desk(platform_hook=f"{__name__}:bad_hook")
    BROKEN_FOR["bookings"] = frozenset(f"b{number}" for number in range(220))
    desk.deliver(*(samples.created(key, START, AT) for key in sorted(BROKEN_FOR["bookings"])))
    desk.work_off()
    desk = open_desk(platform_hook=f"{__name__}:hook_that_takes_its_time")
    with ThreadPoolExecutor(1) as pool:
        rehearsed = pool.submit(outlook_of, desk, RowSearch(status="dead"))
        written = 0
        while not rehearsed.done():
            desk.deliver(b"%d" % written)
            written += 1
            time.sleep(0.3)
    assert len(rehearsed.result().effects) == 220
    assert written > 1


@st.composite
def deliveries(draw: st.DrawFn) -> dict[str, Any]:
    kind, booking, minute = draw(KINDS), draw(BOOKINGS), draw(MINUTES)
    return body(kind, booking, minute, draw(st.integers(0, 3)), has_times=draw(st.booleans()), is_old_format=False)


def test_a_replay_does_what_its_rehearsal_said(open_desk: Callable[..., Desk], redis: Redis) -> None:
    desk = open_desk(platform_hook=f"{__name__}:bad_hook")
    desk.add_user(meetergo_user_id=samples.HOST_ID)

    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        healthy=st.lists(deliveries(), max_size=4),
        broken=st.lists(deliveries(), max_size=5),
        still_broken=st.sampled_from([NOBODY, frozenset(["b2"])]),
        sends=st.booleans(),
        only_dead=st.booleans(),
        tells_again=st.booleans(),
        bad=st.booleans(),
        chunk=st.sampled_from([timedelta(0), timedelta(seconds=1)]),
    )
    def hold(
        healthy: list[Any],
        broken: list[Any],
        still_broken: frozenset[str],
        sends: bool,
        only_dead: bool,
        tells_again: bool,
        bad: bool,
        chunk: timedelta,
    ) -> None:
        clear(desk)
        BROKEN_FOR["bookings"] = NOBODY
        desk.tell(*healthy)
        if sends:
            desk.send_all()
        BROKEN_FOR["bookings"] = EVERYBODY
        desk.tell(*broken, *([b"not json"] if bad else []))
        BROKEN_FOR["bookings"] = still_broken
        search = RowSearch(status="dead" if only_dead else None)
        kept = everything(desk.office.database, redis)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dry_run_module, "LONGEST_BATCH", chunk)
            outlook = outlook_of(desk, search, tells_again=tells_again)
        assert everything(desk.office.database, redis) == kept
        before, heard = seen(desk), news(desk)
        replay_all(desk, search, tells_again=tells_again)
        assert {e.booking_id: (e.before, e.after) for e in outlook.effects} == differences(before, seen(desk))
        told = [(t.booking_id, t.kind, t.channel, t.recipient) for t in outlook.news]
        assert sorted(told) == sorted(row for key, row in news(desk).items() if key not in heard)
        rows = {row.id: (row.status, row.last_error) for row in desk.all(Delivery)}
        assert {v.delivery.id: (v.status, v.error) for v in outlook.verdicts} == {
            verdict.delivery.id: rows[verdict.delivery.id] for verdict in outlook.verdicts
        }

    hold()


def differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    found = {}
    for booking_id, row in after.items():
        old = before.get(booking_id) or dict.fromkeys(row)
        names = [name for name in row if row[name] != old[name]]
        if names:
            found[booking_id] = ({name: old[name] for name in names}, {name: row[name] for name in names})
    return found


def clear(desk: Desk) -> None:
    with desk.office.database.transaction() as session:
        for table in reversed(Model.metadata.sorted_tables):
            if table.name != "platform_users":
                session.execute(text(f"DELETE FROM {table.name}"))
