"""An incident in a real terminal: the screen at each step, and the state at the end."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, text

from models.booking import Booking
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import MEETING_OVER, SUPERSEDED, Notification
from tests.console.incident import BROKEN, HEALTHY, Incident, Step, expected, incident, run_incident
from tests.console.tmux import is_there
from tests.waiting import wait_until

QUICK_SCHEDULE = "python -m tests.console.fast_alerts"
ERROR = "no room is known for meeting type sample-type"
SHOWS = {
    "healthy": [f"inbox 0 - {HEALTHY} 0", "Nothing needs a person."],
    "alarm": [r"meetergo-inbox: \d+ deliver(y is|ies are) dead", "bin/inbox deliveries list --status dead"],
    "status": [
        *(f"{BROKEN} deliveries are dead bin/inbox deliveries list --status dead", "exit code 1"),
        "incidents deliveries dead, since",
    ],
    "list": [ERROR, "(the same)", "bin/inbox deliveries errors", f"{BROKEN - 5} more: "],
    "errors": [
        rf"{BROKEN} dead \d+ s ago \d+ s ago [0-9a-f]{{12}} {ERROR}",
        "bin/inbox replay --dead --dry-run",
    ],
    "show": [
        "status dead",
        ERROR,
        '"meetingTypeId": "sample-type"',
        '"secret": "\\*\\*\\*"',
        "bookings show {booking}",
    ],
    "booking": [
        "booking created by [0-9a-f]{12} status confirmed",
        "delivery dead [0-9a-f]{12} booking_rescheduled try 1: " + ERROR,
    ],
    "tail": ["delivery dead [0-9a-f]{12} booking_"],
    "dry_run": [f"{BROKEN} dead again: {ERROR}", "0 notifications", "This was a dry run: nothing is changed."],
    "repair": [],
    "repaired": ["done, and a booking changes", "notifications 'created' by http", "more bookings: --json shows all"],
    "replay": [f"Replay {BROKEN} deliveries\\?", f"{BROKEN} deliveries replayed", f"Now {BROKEN} done."],
    "over": ["meetergo-inbox: resolved: no delivery is dead any more"],
    "resolved": [f"inbox 0 - {HEALTHY + BROKEN} 0", "Nothing needs a person.", "exit code 0"],
    "timeline": [
        f"delivery dead [0-9a-f]{{12}} booking_rescheduled try 1: {ERROR} .* "
        "delivery replayed [0-9a-f]{12} by the-operator: the meeting type has its room again .* "
        "booking rescheduled by [0-9a-f]{12} .* "
        "notification done \\d+ rescheduled by http"
    ],
}
"""The expected output of each step, as regular expressions."""


pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def repaired() -> Iterator[tuple[Incident, list[Step]]]:
    if not is_there():
        pytest.skip("tmux is not installed (apt-get install tmux)")
    with incident(QUICK_SCHEDULE) as it:
        yield it, list(run_incident(it))


@pytest.fixture(scope="module")
def platform(repaired: tuple[Incident, list[Step]]) -> Incident:
    return repaired[0]


def test_each_step_shows_the_problem_and_the_next_command(
    repaired: tuple[Incident, list[Step]],
) -> None:
    platform, steps = repaired
    assert [step.name for step in steps] == list(SHOWS)
    for step in steps:
        words = re.sub(r"[\s─]+", " ", step.screen)
        for shown in SHOWS[step.name]:
            assert re.search(shown.replace("{booking}", platform.booking), words), (shown, step.screen)


def test_in_the_end_each_booking_and_the_platforms_rows_agree_with_the_newest_webhook(platform: Incident) -> None:
    with platform.database.read_only() as session:
        bookings = {row.id: row for row in session.scalars(select(Booking))}
        rooms = set(session.scalars(text("SELECT booking_id FROM rooms")))
    found = {key: (row.status, row.starts_at, len(row.attendees)) for key, row in bookings.items()}
    assert found == expected(platform.bodies)
    assert rooms == {key for key, row in bookings.items() if row.status == "confirmed"}


def test_everyone_was_notified_exactly_once(platform: Incident) -> None:
    with platform.database.read_only() as session:
        wait_until(lambda: set(session.scalars(select(Notification.status))) == {"done"})
        unsent = func.coalesce(Notification.last_error.in_((MEETING_OVER, SUPERSEDED)), False)
        due = session.scalar(select(func.count()).where(Notification.status == "done", ~unsent))
    assert platform.received_messages.repeats() == (0, 0)
    assert len(platform.received_messages.all) == len(platform.received_messages.ids()) == due
    assert platform.received_messages.out_of_order() == 0
    assert platform.received_messages.strange == []


def test_operator_and_reason_of_the_replay_are_recorded(platform: Incident) -> None:
    with platform.database.read_only() as session:
        acts = session.scalars(select(Intervention)).all()
        statuses = dict(session.execute(select(Delivery.status, func.count()).group_by(Delivery.status)).all())
    assert len({act.delivery_id for act in acts}) == len(acts) == BROKEN
    assert {(act.kind, act.by, act.reason) for act in acts} == {
        ("replayed", "the-operator", "the meeting type has its room again")
    }
    assert statuses == {"done": HEALTHY + BROKEN}
    first, *others = platform.operator_channel.subjects()
    assert first.endswith(("delivery is dead", "deliveries are dead"))
    assert others == ["resolved: no delivery is dead any more"]
