"""The dry run predicts a replay, and changes nothing."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings
from redis import Redis
from sqlalchemy import delete, select
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
from runtime.database import Database, Model
from runtime.errors import Permanent
from tests.discarding_trigger import FORBID, discarding
from tests.snapshot import snapshot
from tests.worker.harness import AT, START, Harness, later
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
def harness(open_harness: Callable[..., Harness]) -> Harness:
    BROKEN_FOR["bookings"] = EVERYBODY
    return open_harness(platform_hook=f"{__name__}:bad_hook")


def replay_service(harness: Harness, **wanted: Any) -> ReplayService:
    return ReplayService(harness.services, "the operator", **wanted)


def report_of(harness: Harness, search: RowSearch | None = None, **wanted: Any) -> DryRunReport:
    chosen = select_deliveries(harness.services.inbox, (search or RowSearch()).deliveries()).chosen
    return dry_run(replay_service(harness, **wanted), chosen)


def replay_all(harness: Harness, search: RowSearch | None = None, **wanted: Any) -> None:
    chosen = select_deliveries(harness.services.inbox, (search or RowSearch()).deliveries()).chosen
    for chunk in chunks(chosen):
        replay_service(harness, **wanted).replay(chunk, datetime.now(UTC))
    harness.process_due()


def public_columns(harness: Harness) -> dict[str, dict[str, Any]]:
    return {booking.id: booking.public_columns() for booking in harness.all(Booking)}


def notifications(harness: Harness) -> dict[int, tuple[str, str, str, str]]:
    rows = [row for row in harness.all(Notification) if row.status == "pending"]
    return {row.id: (row.booking_id, row.kind, row.channel, row.recipient) for row in rows}


def test_a_dry_run_shows_each_booking_and_who_would_be_notified(harness: Harness) -> None:
    harness.process(CREATED, MOVED, b"not json")
    BROKEN_FOR["bookings"] = NOBODY
    report = report_of(harness)
    assert [(v.delivery.booking_id, v.status, v.error, v.changes) for v in report.outcomes] == [
        ("", "dead", "the body is not JSON", False),
        ("b1", "done", None, True),
        ("b1", "done", None, True),
    ]
    (diff,) = report.booking_diffs
    assert diff.is_new
    assert diff.before["starts_at"] is None
    assert diff.after["starts_at"] == (START + timedelta(hours=1)).isoformat()
    # Its creation is superseded by then.
    assert [(each.kind, each.recipient, each.again) for each in report.notifications] == [("rescheduled", "log", False)]


def test_a_dry_run_names_only_the_fields_that_would_change(harness: Harness) -> None:
    BROKEN_FOR["bookings"] = NOBODY
    harness.process(CREATED)
    BROKEN_FOR["bookings"] = EVERYBODY
    harness.process(MOVED)
    BROKEN_FOR["bookings"] = NOBODY
    (diff,) = report_of(harness, RowSearch(status="dead")).booking_diffs
    assert not diff.is_new
    assert set(diff.before) == {"starts_at", "ends_at", "as_of"}


def test_a_delivery_that_would_fail_again_is_reported_with_its_error(harness: Harness) -> None:
    harness.process(CREATED)
    report = report_of(harness)
    assert [(verdict.status, verdict.error) for verdict in report.outcomes] == [("dead", "the hook is broken")]
    assert report.booking_diffs == report.notifications == []


@pytest.mark.parametrize("hook", ["bad_hook", "hook_that_commits"])
def test_a_dry_run_stores_nothing_and_triggers_nothing(
    open_harness: Callable[..., Harness], redis: Redis, hook: str
) -> None:
    BROKEN_FOR["bookings"] = EVERYBODY
    harness = open_harness(platform_hook=f"{__name__}:bad_hook")
    harness.add_user(channels=["log:own"])
    harness.process(CREATED, EMPLOYED, samples.created("b2", START, AT), MOVED, b"not json")
    BROKEN_FOR["bookings"] = frozenset(["b2"])
    harness = open_harness(platform_hook=f"{__name__}:{hook}")
    before = snapshot(harness.services.database, redis)
    report_of(harness, resend=True, reason="a try")
    assert snapshot(harness.services.database, redis) == before


def test_an_employee_event_applies_in_every_transaction_of_a_dry_run(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mapping comes first, as in a worker, although each booking has its own transaction."""
    user = harness.add_user()
    harness.process(*(samples.created(key, START, AT) for key in ("b1", "b2", "b3")))
    BROKEN_FOR["bookings"] = NOBODY
    harness.deliver(EMPLOYED)
    with harness.services.database.transaction() as session:
        for row in session.scalars(select(Delivery).where(Delivery.status == "pending")):
            row.fail(Permanent("died before it was handled"), datetime.now(UTC))
            row.event = "new_employee"
    monkeypatch.setattr(dry_run_module, "MAX_BATCH_TIME", timedelta(0))
    report = report_of(harness)
    assert [diff.after["platform_user_id"] for diff in report.booking_diffs] == [user.id] * 3
    assert len(report.outcomes) == 4
    assert len(report.notifications) == 3


def test_bookings_that_an_employee_links_notify_once(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN_FOR["bookings"] = NOBODY
    harness.process(CREATED, *(samples.created(key, START, AT, hostIds=[], hosts=[]) for key in ("b2", "b3")))
    harness.process(EMPLOYED)
    user = harness.add_user(channels=["log:own"])
    monkeypatch.setattr(dry_run_module, "MAX_BATCH_TIME", timedelta(0))
    events = [RowSearch(event="new_employee"), RowSearch()]
    reports = [report_of(harness, search) for search in events]
    for report in reports:
        assert [(diff.booking_id, diff.after) for diff in report.booking_diffs] == [
            ("b1", {"platform_user_id": user.id})
        ]
        kinds = [planned.kind for planned in report.notifications]
        assert kinds == ["cancelled", "created"], "the shared log, and the host's own"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_other_writers_get_the_lock_in_time(open_harness: Callable[..., Harness]) -> None:
    """SQLite has one write lock; a receiver waits two seconds for it."""
    harness = open_harness(platform_hook=f"{__name__}:bad_hook")
    BROKEN_FOR["bookings"] = frozenset(f"b{number}" for number in range(220))
    harness.deliver(*(samples.created(key, START, AT) for key in sorted(BROKEN_FOR["bookings"])))
    harness.process_due()
    harness = open_harness(platform_hook=f"{__name__}:hook_that_takes_its_time")
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(report_of, harness, RowSearch(status="dead"))
        written = 0
        while not future.done():
            harness.deliver(b"%d" % written)
            written += 1
            time.sleep(0.3)
    assert len(future.result().booking_diffs) == 220
    assert written > 1


@st.composite
def deliveries(draw: st.DrawFn) -> dict[str, Any]:
    kind, booking, minute = draw(KINDS), draw(BOOKINGS), draw(MINUTES)
    return body(kind, booking, minute, draw(st.integers(0, 3)), has_times=draw(st.booleans()), is_old_format=False)


def test_a_replay_does_what_its_dry_run_predicted(open_harness: Callable[..., Harness], redis: Redis) -> None:
    harness = open_harness(platform_hook=f"{__name__}:bad_hook")
    harness.add_user(meetergo_user_id=samples.HOST_ID)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        healthy=st.lists(deliveries(), max_size=4),
        broken=st.lists(deliveries(), max_size=5),
        still_broken=st.sampled_from([NOBODY, frozenset(["b2"])]),
        sends=st.booleans(),
        only_dead=st.booleans(),
        resend=st.booleans(),
        bad=st.booleans(),
        chunk=st.sampled_from([timedelta(0), timedelta(seconds=1)]),
    )
    def hold(
        healthy: list[Any],
        broken: list[Any],
        still_broken: frozenset[str],
        sends: bool,
        only_dead: bool,
        resend: bool,
        bad: bool,
        chunk: timedelta,
    ) -> None:
        clear(harness)
        BROKEN_FOR["bookings"] = NOBODY
        harness.process(*healthy)
        if sends:
            harness.send_all()
        BROKEN_FOR["bookings"] = EVERYBODY
        harness.process(*broken, *([b"not json"] if bad else []))
        BROKEN_FOR["bookings"] = still_broken
        search = RowSearch(status="dead" if only_dead else None)
        kept = snapshot(harness.services.database, redis)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dry_run_module, "MAX_BATCH_TIME", chunk)
            report = report_of(harness, search, resend=resend)
        assert snapshot(harness.services.database, redis) == kept
        before, queue_reached = public_columns(harness), notifications(harness)
        replay_all(harness, search, resend=resend)
        assert {e.booking_id: (e.before, e.after) for e in report.booking_diffs} == differences(
            before, public_columns(harness)
        )
        planned = [(t.booking_id, t.kind, t.channel, t.recipient) for t in report.notifications]
        assert sorted(planned) == sorted(row for key, row in notifications(harness).items() if key not in queue_reached)
        rows = {row.id: (row.status, row.last_error) for row in harness.all(Delivery)}
        assert {v.delivery.id: (v.status, v.error) for v in report.outcomes} == {
            verdict.delivery.id: rows[verdict.delivery.id] for verdict in report.outcomes
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


def clear(harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        for table in reversed(Model.metadata.sorted_tables):
            if table.name != "platform_users":
                session.execute(delete(table))


def test_a_webhook_that_is_confirmed_first_is_not_applied_by_the_dry_run(open_harness: Callable[..., Harness]) -> None:
    open_harness().process(CREATED, samples.cancelled("b1", START, later(1)))
    key = f"ak_live:{UUID(int=1)}:secret"
    confirming = open_harness(confirm="cancels", meetergo_api_key=key, meetergo_api_url="http://127.0.0.1:1")
    notes = {outcome.delivery.event: outcome.note for outcome in report_of(confirming).outcomes}
    assert notes == {"booking_created": ANY, "booking_cancelled": "meetergo is asked first"}


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_booking_that_we_alone_have_no_right_to_is_one_failure_of_the_report(
    open_harness: Callable[..., Harness], database: Database
) -> None:
    harness = open_harness()
    harness.process(CREATED, samples.created("b2", START, AT))
    with discarding(database, "bookings", "INSERT OR UPDATE", "NEW.id = 'b1'", FORBID):
        outcomes = report_of(harness).outcomes
    assert {(each.delivery.booking_id, each.status, bool(each.error)) for each in outcomes} == {
        ("b1", "pending", True),
        ("b2", "done", False),
    }
