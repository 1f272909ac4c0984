"""Notifications, hosts, reconcile, the audit log, settings and live on the web page."""

import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from dashboard.screens import reconcile as reconcile_screen
from devtools.send import samples
from models.account import DEFAULT
from models.booking import Booking
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from operations.runs.executor import advance_runs
from runtime.settings import SETTING_NAMES
from tests.dashboard.conftest import KEY, Client, OpenApp, client_of
from tests.dashboard.test_runs import plan
from tests.snapshot import snapshot_rows
from tests.worker.conftest import provider, three_hosts
from tests.worker.harness import AT, START, Harness
from tests.worker.provider import Provider
from worker.maintenance.sweeper import sweep

__all__ = ["provider", "three_hosts"]

WHY = {"reason": "because"}
ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def kill(harness: Harness, *ids: int) -> None:
    """Let notifications be dead."""
    now = datetime.now(UTC)
    values = dict(status="dead", ended_at=now, last_error="refused for guest-1@example.com", attempts=3)
    with harness.services.database.transaction() as session:
        session.execute(update(Notification).where(Notification.id.in_(ids)).values(**values))


def test_notifications_are_listed_by_status_and_filtered(client: Client, sample_data: Harness) -> None:
    rows = sample_data.all(Notification)
    kill(sample_data, rows[0].id)

    def ids(query: str) -> set[int]:
        page = client("read").get(f"/notifications?{query}").text
        return {row.id for row in rows if f'href="/notifications/{row.id}"' in page}

    assert ids("") == {row.id for row in rows}
    assert ids("status=dead") == {rows[0].id}
    assert ids("status=dead&error=REFUSED") == {rows[0].id}
    assert ids("status=dead&error=other") == set()
    assert ids("event=cancelled") == {row.id for row in rows if row.kind == "cancelled"}
    assert ids("booking=b1") == {row.id for row in rows if row.booking_id == "b1"}
    assert ids("host=4711") == {row.id for row in rows if row.booking_id == "b1"}
    assert ids("until=2020-01-01") == set()
    assert "guest-1@example.com" not in client("people").get("/notifications?status=dead").text


def test_one_notification_tells_its_attempts_and_what_the_reader_sees(client: Client, sample_data: Harness) -> None:
    failing = next(row for row in sample_data.all(Notification) if row.attempts)
    page = client("read").get(f"/notifications/{failing.id}").text
    assert "could not be reached" in page
    assert "try 1" in page
    assert "What the reader sees" in page
    assert "guest-1@example.com" not in page
    assert client("read").get("/notifications/999999").status_code == 404
    assert client("read").get(f"/notifications/{'9' * 5000}").status_code == 404  # more digits than int() reads
    assert client("read").get(f"/notifications/{failing.message_id}").status_code == 200


def test_one_notification_leads_to_the_plan_that_sends_or_ignores_it(client: Client, sample_data: Harness) -> None:
    rows = sample_data.all(Notification)
    sent = next(row for row in rows if row.status == "done" and row.channel == "log")
    first, second = [row.id for row in rows if row.channel != "log"][:2]
    kill(sample_data, first, second)
    operator = client("operate")

    def start(notification_id: int, kind: str) -> None:
        page = operator.get(f"/notifications/{notification_id}").text
        (query,) = (each for each in re.findall(r'href="/runs/plan\?([^"]+)"', page) if f"kind={kind}" in each)
        form = plan(operator, query.replace("&amp;", "&"))
        assert operator.post("/runs/start", data=form | WHY).status_code == 303

    assert "/runs/plan" not in client("read").get(f"/notifications/{first}").text
    start(first, "replay")
    start(second, "ignore")
    start(sent.id, "replay")
    advance_runs(sample_data.services, datetime.now(UTC))
    statuses = {row.id: row.status for row in sample_data.all(Notification)}
    assert (statuses[first], statuses[second]) == ("pending", "done")
    assert "/runs/plan" not in operator.get(f"/notifications/{first}").text, "it is pending: it goes out anyway"
    copy = sample_data.all(Notification)[-1]
    assert copy.message_id not in {row.message_id for row in rows}
    acts = {(act.kind, act.notification_id, act.by) for act in sample_data.all(Intervention) if act.kind != "started"}
    assert acts == {("replayed", first, "Ada"), ("ignored", second, "Ada"), ("sent_again", copy.id, "Ada")}


def test_notifications_are_planned_from_a_selection_and_from_all_that_match(
    client: Client, sample_data: Harness
) -> None:
    rows = sample_data.all(Notification)
    kill(sample_data, rows[0].id)
    assert "/runs/plan" not in client("read").get("/notifications?status=dead").text
    operator = client("operate")
    page = operator.get("/notifications?status=dead&error=refused").text
    assert f'name="id" value="{rows[0].id}"' in page
    assert "Send all 1 that match" in page
    for query in (f"id={rows[0].id}", "all=1&status=dead&error=refused", "all=1&status=all&error=refused"):
        plan = operator.get(f"/runs/plan?target=notifications&kind=replay&{query}").text
        assert "Send: 1 notification" in plan
        assert f'href="/notifications/{rows[0].id}"' in plan
        assert f'href="/bookings/{rows[0].booking_id}"' in plan


def test_errors_of_notifications_are_grouped_and_each_number_is_a_link(client: Client, sample_data: Harness) -> None:
    rows = sample_data.all(Notification)
    kill(sample_data, rows[0].id, rows[1].id)
    operator = client("operate")
    page = operator.get("/errors?of=notifications").text
    assert "refused for" in page
    assert "guest-1@example.com" not in page.partition("<tbody>")[2].partition("<a ")[0]
    addresses = [
        each.replace("&amp;", "&") for each in re.findall(r'href="(/(?:notifications|runs)[^"]*error[^"]*)"', page)
    ]
    assert len(addresses) >= 4
    for address in addresses:
        assert operator.get(address).status_code == 200
    assert "/runs/plan" not in client("read").get("/errors?of=notifications").text
    assert "refused for" not in operator.get("/errors").text


# Hosts


def test_hosts_who_are_missing_are_a_work_list_with_their_bookings(client: Client, sample_data: Harness) -> None:
    for number in range(3):
        body = samples.created(f"waits-{number}", START + timedelta(days=number), AT, hosts=[], hostIds=["stranger"])
        sample_data.process(body)
    page = client("read").get("/hosts").text
    work = page.partition("Bookings wait for these users")[2].partition("</section>")[0]
    assert work.index("<code>stranger") < work.index("<code>nobody")
    assert '<td class="r" data-label="bookings">3</td>' in work
    assert "/bookings/waits-0" in work
    assert samples.HOST_ID not in work
    assert "map=stranger" not in work, "read may not"
    assert "map=stranger" in client("operate").get("/hosts").text


def test_a_mapping_gives_the_host_its_waiting_bookings(client: Client, sample_data: Harness) -> None:
    values = {"external_id": "4712", "meetergo_user_id": "nobody", "name": "Nora", "email": "n@example.com", **WHY}
    assert client("read").post("/hosts/add", data=values).status_code == 403
    assert client("operate").post("/hosts/add", data={**values, "reason": ""}).status_code == 400
    assert client("operate").post("/hosts/add", data=values).headers["Location"] == "/hosts/4712"
    assert "next sweep" not in client("read").get("/hosts/4712").text
    sweep(sample_data.services, datetime.now(UTC))
    owner = sample_data.booking("unhosted-1").platform_user_id
    assert {user.id: user.external_id for user in sample_data.all(PlatformUser)}[owner] == "4712"
    assert "nobody" not in client("read").get("/hosts").text.partition("Add a host")[0].partition("wait for")[2]
    (act,) = sample_data.all(Intervention)
    assert (act.kind, act.by) == ("mapped", "Ada")
    assert "4712" in act.reason
    assert "because" in act.reason
    page = client("read").get("/hosts/4712").text
    assert "Nora" in page
    assert "•••@example.com" in page
    assert "n@example.com" not in page


@pytest.mark.parametrize("email", ["nora", "Nora <n@example.com>", "mailto:n@example.com", "n@example..com"])
def test_a_host_whose_mails_could_not_be_sent_is_refused(client: Client, sample_data: Harness, email: str) -> None:
    values = {"external_id": "4712", "meetergo_user_id": "nobody", "email": email, **WHY}
    answer = client("operate").post("/hosts/add", data=values)
    assert (answer.status_code, "email is not an e-mail address" in answer.text) == (409, True)
    assert len(sample_data.all(PlatformUser)) == 1


def test_a_host_is_changed_and_its_mapping_forgotten(client: Client, sample_data: Harness) -> None:
    operator = client("operate")
    data = {"external_id": "4711", "meetergo_user_id": "other", "name": "New name", "timezone": "Asia/Tokyo", **WHY}
    assert operator.post("/hosts/change", data=data).status_code == 303
    (user,) = sample_data.all(PlatformUser)
    assert (user.meetergo_user_id, user.name, user.timezone) == ("other", "New name", "Asia/Tokyo")
    assert user.email == "host@example.com", "an empty field leaves the address as it is"
    assert user.language == "en"
    assert operator.post("/hosts/forget", data={"external_id": "4711", **WHY}).status_code == 303
    (user,) = sample_data.all(PlatformUser)
    assert user.meetergo_user_id is None
    assert sample_data.booking("b1").platform_user_id == user.id, "its bookings stay"
    assert [act.kind for act in sample_data.all(Intervention)] == ["mapped", "forgotten"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"external_id": "4711"}, "already"),
        ({"external_id": ""}, "external_id is missing"),
        ({"external_id": "5", "meetergo_user_id": samples.HOST_ID}, "is mapped to this user of meetergo"),
        ({"external_id": "5", "timezone": "Mars/Olympus"}, "timezone does not exist"),
        ({"external_id": "5", "email": "nothing"}, "not an e-mail address"),
        ({"external_id": "5", "language": "fr"}, "language is en or de"),
        ({"external_id": "5" * 300}, "too long"),
        ({"external_id": "5", "name": "a\nb"}, "control character"),
    ],
)
@ON_SQLITE
def test_a_host_that_cannot_be_is_refused_with_a_sentence(
    client: Client, sample_data: Harness, values: dict[str, str], sentence: str
) -> None:
    response = client("operate").post("/hosts/add", data={**values, **WHY})
    assert response.status_code == 409
    assert sentence in response.text
    assert len(sample_data.all(PlatformUser)) == 1
    assert sample_data.all(Intervention) == []


@ON_SQLITE
def test_hosts_are_found(client: Client, sample_data: Harness) -> None:
    reader = client("read")
    for query in ("q=4711", f"q={samples.HOST_ID}", "q=HOST@example.com", ""):
        assert 'href="/hosts/4711"' in reader.get(f"/hosts?{query}").text
    for query in ("q=nobody", "mapping=none"):
        assert 'href="/hosts/4711"' not in reader.get(f"/hosts?{query}").text
    assert reader.get("/hosts/a/b").status_code == 404


# Reconcile


@pytest.fixture
def at_meetergo(three_hosts: Provider, open_app: OpenApp) -> Flask:
    return open_app(meetergo_api_key=three_hosts.meetergo.key, meetergo_api_url=three_hosts.meetergo.url)


def test_a_dry_run_shows_what_differs_and_changes_nothing(at_meetergo: Flask, three_hosts: Provider) -> None:
    before = snapshot_rows(three_hosts.harness.services.database)
    operator = client_of(at_meetergo, "operate")
    assert client_of(at_meetergo, "read").post("/reconcile/dry-run").status_code == 403
    page = operator.post("/reconcile/dry-run").text
    assert "3 bookings would be repaired." in page
    page = operator.post("/reconcile/dry-run", data={"host": "2"}).text
    assert "1 booking would be repaired." in page
    assert "There is no host" in operator.post("/reconcile/dry-run", data={"host": "nobody"}).text
    after = snapshot_rows(three_hosts.harness.services.database)
    assert {name for name, rows in after.items() if rows != before[name]} == {Intervention.__table__.fullname}
    acts = [(act.kind, act.by, act.reason) for act in three_hosts.harness.all(Intervention)]
    assert acts == [
        ("compared", "Ada", "dry run of reconcile"),
        ("compared", "Ada", "dry run of reconcile, host 2"),
    ]
    assert "compared with meetergo" in client_of(at_meetergo, "read").get("/audit?kind=compared").text


@ON_SQLITE
def test_a_dry_run_for_a_host_without_a_user_of_meetergo_says_so(at_meetergo: Flask, three_hosts: Provider) -> None:
    three_hosts.harness.add_user(external_id="unmapped")
    page = client_of(at_meetergo, "operate").post("/reconcile/dry-run", data={"host": "unmapped"}).text
    assert "not mapped to a user of meetergo" in page


@ON_SQLITE
def test_one_dry_run_at_a_time(at_meetergo: Flask) -> None:
    with reconcile_screen._dry_run:
        answer = client_of(at_meetergo, "operate").post("/reconcile/dry-run")
    assert answer.status_code == 409
    assert client_of(at_meetergo, "operate").post("/reconcile/dry-run").status_code == 200


@ON_SQLITE
def test_a_dry_run_has_a_time_limit(at_meetergo: Flask, three_hosts: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.screens.reconcile.DRY_RUN_LIMIT", timedelta(0))
    assert "hosts were not read" in client_of(at_meetergo, "operate").post("/reconcile/dry-run").text


def test_runs_are_listed(client: Client, harness: Harness) -> None:
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        session.add(Reconciliation(started_at=now, ended_at=now + timedelta(seconds=9), appointments=312, missed=2))
        session.add(Reconciliation(started_at=now - timedelta(minutes=2), error="meetergo is down"))
    page = client("read").get("/reconcile").text
    assert "312" in page
    assert "<b>2</b>" in page
    assert "not ended" in page
    assert "meetergo is down" in page
    assert "MEETERGO_API_KEY is not set" in client("operate").post("/reconcile/dry-run").text


# The audit log, settings, live


def test_the_audit_log_tells_who_did_what_and_why(client: Client, sample_data: Harness) -> None:
    with sample_data.services.database.transaction() as session:
        now = datetime.now(UTC)
        for number, by in enumerate(("Ada", "Bruno", "Ada")):
            at = now - timedelta(hours=number)
            Intervention.record_on_booking(session, "revealed", "b1", at, by=by, reason=f"reason {number}")
        Intervention.record_act(
            session, "mapped", now - timedelta(days=3), by="Bruno", reason="host 4711 -> x: asked", account=DEFAULT
        )

    def reasons(query: str) -> list[str]:
        page = client("read").get(f"/audit?{query}").text
        return [each for each in ("reason 0", "reason 1", "reason 2", "asked") if each in page]

    assert reasons("") == ["reason 0", "reason 1", "reason 2", "asked"]
    assert reasons("by=Bruno") == ["reason 1", "asked"]
    assert reasons("kind=mapped") == ["asked"]
    assert reasons("booking=b1&by=Ada") == ["reason 0", "reason 2"]
    assert reasons("since=90m") == ["reason 0", "reason 1"]
    assert reasons("until=90m") == ["reason 2", "asked"]
    assert reasons("kind=nonsense") == ["reason 0", "reason 1", "reason 2", "asked"]


@ON_SQLITE
def test_runs_that_the_audit_log_and_timelines_name_are_links(client: Client, sample_data: Harness) -> None:
    delivery, now = next(row for row in sample_data.all(Delivery) if row.booking_id == "b1"), datetime.now(UTC)
    with sample_data.services.database.transaction() as session:
        Intervention.record_act(
            session, "started", now, by="Ada", reason="run 7: replay 2 deliveries: (run 1) again", account=DEFAULT
        )
        Intervention.record_act(session, "cancelled", now, by="Ada", reason="run 8", account=DEFAULT)
        Intervention.record(session, "replayed", delivery, now, by="Ada", reason="hook\nrepaired (run 9)")
        Intervention.record_act(
            session, "compared", now, by="Ada", reason="dry run of reconcile, host run 4", account=DEFAULT
        )
    audit = client("read").get("/audit").text
    assert re.findall(r'href="/runs/(\d+)"', audit) == ["9", "8", "7"]
    assert "<q>hook\nrepaired</q>" in audit
    assert "<q>replay 2 deliveries: (run 1) again</q>" in audit
    for path in (f"/deliveries/{delivery.id}", f"/bookings/{delivery.booking_id}", "/live"):
        assert 'href="/runs/9"' in client("read").get(path).text, path


@ON_SQLITE
def test_settings_say_what_is_set_and_never_its_value(open_app: OpenApp, harness: Harness) -> None:
    app = open_app(mail_from="a-sender@example.com", notify_signing_secret="whsec_" + "b2xk" * 8)
    page = client_of(app, "people").get("/settings").text
    for name in SETTING_NAMES:
        row = page.partition(f"<code>{name}</code>")[2].partition("</tr>")[0]
        assert row, f"{name} is missing"
        assert ("not set" not in row) == bool(os.environ.get(name)), name
    for value in (KEY, "a-sender@example.com", "whsec_", os.environ["REDIS_URL"], os.environ["DATABASE_URL"]):
        assert value not in page
    assert "Others" not in page, "a new setting needs a group in configuration.py"


def test_live_sends_only_what_is_new(client: Client, harness: Harness) -> None:
    reader = client("read")
    assert "Nothing happened yet." in reader.get("/live").text
    harness.process(samples.created("b1", START, AT))
    page = reader.get("/live").text
    assert "/bookings/b1" in page
    address = page.partition('data-poll="')[2].partition('"')[0]
    same = reader.get(address)
    assert (same.status_code, same.data) == (204, b"")
    harness.process(samples.cancelled("b1", START, AT + timedelta(minutes=1)))
    part = reader.get(address)
    assert part.status_code == 200
    assert "meeting cancelled" in part.text
    assert 'id="live"' in part.text
    assert f'data-poll="{address}"' not in part.text
    assert 'href="/live"' in page, "a reload link works without JavaScript"


def test_an_act_about_no_row_does_not_stop_the_timeline(client: Client, harness: Harness) -> None:
    with harness.services.database.transaction() as session:
        Intervention.record_act(
            session, "mapped", datetime.now(UTC), by="Ada", reason="host 4711 -> x", account=DEFAULT
        )
    assert "host mapped" in client("read").get("/live").text
    assert harness.all(Booking) == []
