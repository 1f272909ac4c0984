"""Deliveries: tabs, filters, pages; one delivery, masked; revealing needs the role and is recorded."""

import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from devtools.send import samples
from models.delivery import Delivery
from models.intervention import Intervention
from tests.console.cli import BROKEN
from tests.dashboard.conftest import Client
from tests.worker.harness import AT, Harness, soon

ROW = re.compile(r'href="/deliveries/([0-9a-f]{64})"')


def shown(client: Client, query: str = "", role: str = "read") -> list[str]:
    response = client(role).get(f"/deliveries{query}")
    assert response.status_code == 200, response.text
    return ROW.findall(response.text)


def test_tabs_and_filters_find_what_they_say(client: Client, sample_data: Harness) -> None:
    rows = {row.id: row for row in sample_data.all(Delivery)}
    assert set(shown(client)) == set(rows)
    for status in ("done", "dead", "pending"):
        assert set(shown(client, f"?status={status}")) == {key for key, row in rows.items() if row.status == status}
    of_b1 = {key for key, row in rows.items() if row.booking_id == "b1"}
    assert set(shown(client, "?booking=b1")) == of_b1
    assert set(shown(client, "?host=4711")) == of_b1
    assert set(shown(client, "?event=booking_cancelled")) == {k for k in of_b1 if rows[k].event == "booking_cancelled"}
    assert set(shown(client, "?error=JSON")) == {key for key, row in rows.items() if row.last_error}
    assert shown(client, "?error=nothing+such") == []
    assert shown(client, "?since=2h&until=1h") == []
    assert set(shown(client, "?since=2h")) == set(rows)
    email = sample_data.booking("b1").attendees[0]["email"]
    of_guest = set(shown(client, f"?guest={email.upper()}"))
    assert of_guest >= of_b1
    assert shown(client, "?guest=nobody@example.com") == []


def test_a_body_of_any_depth_is_shown(client: Client, harness: Harness) -> None:
    for depth in (90, 120, 900, 5000):
        body = json.dumps(samples.created("b1", soon(0), AT, odd="here")).encode()
        (key,) = harness.deliver(body.replace(b'"here"', b'{"a":[' * (depth // 2) + b"]}" * (depth // 2)))
        harness.process_due()
        page = client("read").get(f"/deliveries/{key}")
        assert page.status_code == 200
        assert "what nests deeper than 64 levels" in page.text


def test_a_time_that_is_none_is_refused_with_a_sentence(client: Client) -> None:
    response = client("read").get("/deliveries?since=yesterday")
    assert response.status_code == 400
    assert "Write 10m, 2h, 7d" in response.text


def test_pages_continue_after_the_last_row_and_show_each_row_once(client: Client, harness: Harness) -> None:
    harness.deliver(*(samples.created(f"b{number}", soon(number), AT) for number in range(120)))
    for query in ("", "?status=pending", "?event=booking_created", "?error_is="):
        seen: list[str] = []
        address: str | None = f"/deliveries{query}"
        if "event" in query:
            harness.process_due()
            address = "/deliveries?event=booking_created&status=done"
        while address:
            text = client("read").get(address).text
            seen += ROW.findall(text)
            following = re.search(r'rel="next" href="([^"]+)"', text)
            address = following[1].replace("&amp;", "&") if following else None
        assert len(seen) == len(set(seen)) == 120, query


def test_a_forged_page_key_shows_the_first_page(client: Client, sample_data: Harness) -> None:
    for key in ("x", "~", "2024-01-01", "9" * 400, "2024-13-01T00:00:00+00:00~a", "%00~%00"):
        assert len(shown(client, f"?after={key}")) == len(sample_data.all(Delivery))


def test_one_delivery_shows_attempts_changes_and_recipients_without_peoples_data(
    client: Client, sample_data: Harness
) -> None:
    [moved] = [row for row in sample_data.all(Delivery) if row.event == "booking_rescheduled"]
    text = client("read").get(f"/deliveries/{moved.id}").text
    guest = sample_data.booking("b1").attendees[0]
    for secret in (guest["email"], guest["fullname"], "a-zoom-password", "secret-token"):
        assert secret not in text
    assert "starts_at" in text
    assert "rescheduled" in text
    assert "booking_rescheduled" in text


def test_a_body_that_is_not_json_is_shown_to_nobody_who_may_not(client: Client, sample_data: Harness) -> None:
    [broken] = [row for row in sample_data.all(Delivery) if row.status == "dead"]
    assert BROKEN[:12].decode() not in client("operate").get(f"/deliveries/{broken.id}").text


def test_revealing_needs_the_role_and_a_reason_and_is_recorded(client: Client, sample_data: Harness) -> None:
    [moved] = [row for row in sample_data.all(Delivery) if row.event == "booking_rescheduled"]
    path, email = f"/deliveries/{moved.id}/reveal", sample_data.booking("b1").attendees[0]["email"]
    assert client("operate").post(path, data={"reason": "curious"}).status_code == 403
    assert client("people").post(path).status_code == 400
    assert [act for act in sample_data.all(Intervention) if act.kind == "revealed"] == []
    response = client("people").post(path, data={"reason": "the guest called"})
    assert email in response.text
    assert "a-zoom-password" not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    [act] = [act for act in sample_data.all(Intervention) if act.kind == "revealed"]
    assert (act.by, act.reason, act.delivery_id) == ("Ada", "the guest called", moved.id)
    assert email not in client("people").get(f"/deliveries/{moved.id}").text


def test_a_delivery_is_found_by_a_prefix_and_an_unknown_one_is_not_there(client: Client, sample_data: Harness) -> None:
    row = sample_data.all(Delivery)[0]
    assert row.id in client("read").get(f"/deliveries/{row.id[:16]}").text
    assert client("read").get("/deliveries/ffffffffffffffff").status_code == 404
    assert client("read").get("/deliveries/ab").status_code == 409


def test_errors_are_grouped_and_each_number_is_that_of_its_link(client: Client, harness: Harness) -> None:
    harness.process(*(b"not json %d" % number for number in range(7)))
    with harness.services.database.transaction() as session:
        for number, row in enumerate(Delivery.get_for_update(session, [row.id for row in harness.all(Delivery)])):
            row.received_at = (
                datetime.now(UTC) - [timedelta(minutes=5), timedelta(hours=5), timedelta(days=5)][number % 3]
            )
    text = client("read").get("/errors").text
    links = re.findall(r'href="(/deliveries\?[^"]+)">(\d+)</a>', text)
    assert [number for _, number in links] == ["3", "5", "7", "7"]
    for address, number in links:
        query = urlsplit(address.replace("&amp;", "&")).query
        assert "error_is" in parse_qs(query)
        assert len(shown(client, f"?{query}")) == int(number)


def test_an_operator_sees_acts_and_a_reader_does_not(client: Client, sample_data: Harness) -> None:
    for path in ("/errors", "/deliveries", f"/deliveries/{sample_data.all(Delivery)[0].id}"):
        assert "/runs/plan" in client("operate").get(path).text
        assert "/runs/plan" not in client("read").get(path).text
