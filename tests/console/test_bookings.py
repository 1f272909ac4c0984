"""`bookings`: filter them, and show each with its history."""

import re
from collections.abc import Callable

from sqlalchemy import update

from devtools.send import samples
from models.account import DEFAULT
from models.booking import Booking
from models.delivery import Delivery, delivery_id
from models.intervention import Intervention
from runtime.errors import Permanent
from tests.console.cli import run_cli, run_cli_json
from tests.worker.harness import AT, START, Harness, soon


def ids(*words: str) -> list[str]:
    return [row["id"] for row in run_cli_json("bookings", "list", *words)["bookings"]]


def test_a_list_is_filtered(sample_data: Harness) -> None:
    assert ids() == ["b1", "unhosted-1"]
    assert ids("--status", "cancelled") == ids("--user", "4711") == ["b1"]
    assert ids("--status", "confirmed") == ["unhosted-1"]
    assert ids("--since", soon(100).isoformat()) == ["b1"]
    assert ids("--until", soon(100).isoformat()) == ["unhosted-1"]
    assert run_cli("bookings", "list", "--user", "nobody").stdout == "No booking matches.\n"


def test_a_list_names_the_host(sample_data: Harness) -> None:
    lines = run_cli("bookings", "list").stdout.splitlines()
    assert re.search(r"^b1 +2124-01-15 09:40:00  cancelled  Discovery Call  The host \(4711\) +1  ", lines[2])
    assert "none yet" in lines[3]


def test_pages_lead_to_each_other_also_for_bookings_without_a_start(harness: Harness) -> None:
    for number in range(5):
        harness.process(samples.created(f"b{number}", START, AT))
    with harness.services.database.transaction() as session:
        session.execute(update(Booking).where(Booking.id.in_(["b0", "b1", "b2"])).values(starts_at=None))
    seen, before = [], []
    for _ in range(5):
        page = run_cli_json("bookings", "list", "--limit", "1", *before)
        seen += [row["id"] for row in page["bookings"]]
        before = ["--before", page["next"]]
    assert seen == ["b4", "b3", "b2", "b1", "b0"]
    assert page["next"] is None


def test_the_timeline_has_every_delivery_change_notification_and_intervention_in_order(sample_data: Harness) -> None:
    first = run_cli_json("deliveries", "list", "--booking", "b1")["deliveries"][-1]["id"]
    with sample_data.services.database.transaction() as session:
        row = session.get_one(Delivery, first)
        Intervention.record(session, "replayed", row, AT, by="somebody", reason="to be sure")
    shown = run_cli_json("bookings", "show", "b1")
    assert shown["booking"]["status"] == "cancelled"
    assert shown["host"]["external_id"] == "4711"
    timeline = shown["timeline"]
    assert [event["at"] for event in timeline] == sorted(event["at"] for event in timeline)
    kinds = [event["kind"] for event in timeline]
    assert kinds[:7] == [
        "delivery.replayed",
        *("delivery.received", "booking.created", "notification.owed", "notification.owed", "delivery.done"),
        "delivery.received",
    ]
    assert [kind for kind in kinds if kind.startswith("booking.")] == [
        *("booking.created", "booking.rescheduled", "booking.cancelled")
    ]
    assert kinds.count("notification.owed") == 6
    assert kinds.count("notification.done") == 3
    assert kinds.count("notification.retrying") == 1
    moved = timeline[kinds.index("booking.rescheduled")]
    assert moved["before"]["starts_at"] == START.isoformat()
    assert moved["after"]["starts_at"] == soon(100).isoformat()
    assert (timeline[0]["by"], timeline[0]["reason"]) == ("somebody", "to be sure")


def test_the_timeline_is_readable(sample_data: Harness) -> None:
    shown = run_cli("bookings", "show", "b1").stdout
    assert re.search(
        r"\d\d:\d\d:\d\d  • booking rescheduled +by [0-9a-f]{12}\n +starts_at  2124-01-15 08:00:00 -> ", shown
    )
    assert re.search(
        r"↻ notification retrying +2 +created by http to 127.0.0.1:1  try 1: the platform could not", shown
    )
    assert re.search(r"^  attendees +Guest 1 guest-1@example.com$", shown, re.MULTILINE)


def test_a_delivery_that_changed_a_booking_without_naming_it_is_in_its_timeline(harness: Harness) -> None:
    harness.add_user(email="host@example.com")
    harness.process(samples.created("b1", START, AT))
    joined = b'{"webhookType":"new_employee","id":"sample-host","email":"host@example.com"}'
    harness.process(joined)
    timeline = run_cli_json("bookings", "show", "b1")["timeline"]
    about = [event["kind"] for event in timeline if event["delivery_id"] == delivery_id(joined, DEFAULT)]
    assert about[:2] == ["delivery.received", "booking.linked"]
    assert about[-1] == "delivery.done"


def test_a_booking_can_be_named_by_a_prefix(sample_data: Harness) -> None:
    assert run_cli_json("bookings", "show", "unho")["booking"]["id"] == "unhosted-1"
    unknown = run_cli("bookings", "show", "nothing")
    assert unknown.exit_code == 1
    assert "there is no booking whose id is nothing" in unknown.stderr


def test_a_booking_with_only_dead_deliveries_is_shown_with_its_history(open_harness: Callable[..., Harness]) -> None:
    harness = open_harness(platform_hook=f"{__name__}:bad_hook")
    harness.process(samples.created("b2-never-made", START, AT))
    shown = run_cli_json("bookings", "show", "b2-n")
    assert (shown["booking"], shown["host"]) == (None, None)
    assert [event["kind"] for event in shown["timeline"]] == ["delivery.received", "delivery.dead"]
    sheet = run_cli("bookings", "show", "b2-never-made").stdout
    assert "does not exist yet: no delivery about it could be processed" in sheet
    assert "try 1: no room is known" in sheet


def bad_hook(_session: object, _booking: Booking, _change: object) -> None:
    raise Permanent("no room is known")
