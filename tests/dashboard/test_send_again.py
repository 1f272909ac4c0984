"""Send bookings again by page: first the plan, then reason and rate, then a run."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from devtools.send import samples
from models.intervention import Intervention
from models.notification import Notification
from models.run import Run
from operations.runs.executor import advance_runs
from tests.dashboard.conftest import Client
from tests.dashboard.test_runs import HIDDEN
from tests.worker.harness import AT, Harness, soon

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ADDRESS = "/runs/send-again"


@pytest.fixture
def harness(open_harness: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch) -> Harness:
    settings = {
        "notify_default": "https://platform.example/hook",
        "notify_signing_secret": "whsec_" + "c2VjcmV0" * 4,
        "webhook_keys": "k" * 40,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name.upper(), value)
    harness = open_harness(**settings)
    harness.process(*(samples.created(f"b{number}", soon(number), AT) for number in range(3)))
    return harness


def form_of(text: str) -> dict[str, str]:
    return dict(HIDDEN.findall(text.partition(f'action="{ADDRESS}/start"')[2].partition("</form>")[0]))


def test_bookings_that_changed_in_a_period_are_planned_and_sent_again(client: Client, harness: Harness) -> None:
    ada = client("operate")
    assert f'action="{ADDRESS}"' in ada.get("/bookings").text
    page = ada.get(f"{ADDRESS}?since=2h").text
    assert "Send again: 3 bookings" in page
    assert '<div class="big">3</div><span class="soft small">messages' in page
    assert page.count('<td><a href="/bookings/b') == 3
    before = len(harness.all(Notification))
    started = ada.post(f"{ADDRESS}/start", data=form_of(page) | {"reason": "their database was lost", "rate": "20"})
    assert started.status_code == 303
    [run] = harness.all(Run)
    assert started.headers["Location"] == f"/runs/{run.id}"
    assert (run.kind, run.target, run.total, run.per_hour, run.by) == ("send_again", "bookings", 3, 72_000, "Ada")
    assert set(run.selection) == {"since", "until"}
    for turn in range(5):
        advance_runs(harness.services, datetime.now(UTC) + timedelta(seconds=turn))
    assert len(harness.all(Notification)) == before + 3
    assert "It has ended" in ada.get(f"/runs/{run.id}").text
    assert [act.reason for act in harness.all(Intervention)] == [
        f"run {run.id}: send_again 3 bookings: their database was lost"
    ]


def test_what_changes_after_the_plan_is_not_sent_and_does_not_stop_it(client: Client, harness: Harness) -> None:
    ada = client("operate")
    form = form_of(ada.get(f"{ADDRESS}?since=2h").text)
    harness.process(samples.created("b9", soon(9), AT))
    assert ada.post(f"{ADDRESS}/start", data=form | {"reason": "lost"}).status_code == 303
    assert harness.all(Run)[0].total == 3


def test_without_a_reason_or_with_another_set_it_asks_again(client: Client, harness: Harness) -> None:
    ada = client("operate")
    form = form_of(ada.get(f"{ADDRESS}?since=2h").text)
    refused = ada.post(f"{ADDRESS}/start", data=form)
    assert refused.status_code == 400
    assert "Say why" in refused.text
    changed = ada.post(f"{ADDRESS}/start", data=form | {"digest": "of another set", "reason": "lost"})
    assert changed.status_code == 409
    assert "The set has changed" in changed.text
    assert form_of(changed.text) == form
    assert ada.post(f"{ADDRESS}/start", data=form | {"reason": "lost", "rate": "fast"}).status_code == 400
    assert harness.all(Run) == []


@pytest.mark.parametrize(
    ("zone", "since", "shown"),
    [
        ("America/Los_Angeles", "0001-01-01T00:00:00Z", "1 Jan 0001, 00:00"),
        ("Pacific/Kiritimati", "9999-12-31T23:59:00Z", "31 Dec 9999, 23:59"),
    ],
)
def test_a_time_that_no_date_of_the_readers_zone_can_hold_is_shown_in_utc(
    client: Client, harness: Harness, zone: str, since: str, shown: str
) -> None:
    ada = client("operate")
    ada.set_cookie("zone", zone)
    page = ada.get(ADDRESS, query_string={"since": since})
    assert page.status_code == 200
    assert shown in page.text


def test_it_says_what_is_missing(client: Client, harness: Harness) -> None:
    ada = client("operate")
    assert ada.get(ADDRESS).status_code == 400
    assert ada.get(f"{ADDRESS}?since=soon").status_code == 400
    assert "There is nothing to do." in ada.get(f"{ADDRESS}?since=2020-01-01&until=2020-01-02").text
    assert client("read").get(f"{ADDRESS}?since=2h").status_code == 403
    assert "Send bookings again" not in client("read").get("/bookings").text
