"""Several accounts on the web page: lists and details say which, and filters find the rows of one."""

import re
from datetime import UTC, datetime

import pytest

from devtools.send import samples
from models.account import Account
from models.booking import Booking
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import Reconciliation
from operations.users import calendar
from tests.dashboard.conftest import Client
from tests.dashboard.test_runs import plan
from tests.worker.harness import AT, Harness, soon
from worker.maintenance.sweeper import sweep

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
ACCOUNT = "acme"
LISTS = ("/deliveries", "/bookings", "/notifications", "/hosts", "/audit")


@pytest.fixture
def two_accounts(harness: Harness) -> Harness:
    """A harness in which each account has a host and a booking of the same ids at meetergo."""
    now = datetime.now(UTC)
    with harness.services.database.transaction() as session:
        session.add(Account(name=ACCOUNT, created_at=now, updated_at=now))
        for account in ("default", ACCOUNT):
            session.add(Reconciliation(account=account, started_at=now, ended_at=now))
            Intervention.record_act(session, "compared", now, by="Ada", reason="why", account=account)
            session.add(PlatformUser(account=account, external_id=f"host-{account}", meetergo_user_id=samples.HOST_ID))
    body = samples.created("b1", soon(1), AT)
    harness.deliver(body)
    harness.deliver(body, account=ACCOUNT)
    harness.process_due()
    return harness


def test_with_one_account_nothing_is_said_of_accounts(client: Client, sample_data: Harness) -> None:
    for path in (*LISTS, "/reconcile", "/bookings/b1"):
        page = client("people").get(path).text
        assert not [each for each in ('"account"', "<dt>account", ">account<") if each in page]


def test_lists_say_which_account_and_show_one_alone(client: Client, two_accounts: Harness) -> None:
    reader = client("operate")
    for path in LISTS:
        whole = reader.get(path).text
        assert '<label>Account<select name="account">' in whole, path
        assert set(re.findall('<td data-label="account">([^<]*)</td>', whole)) == {"default", ACCOUNT}, path
        for account in ("default", ACCOUNT):
            page = reader.get(f"{path}?account={account}").text
            assert set(re.findall('<td data-label="account">([^<]*)</td>', page)) == {account}, path
            assert f"<option selected>{account}</option>" in page
        assert 'data-label="account"' not in reader.get(f"{path}?account=nobody").text
    assert reader.get("/reconcile").text.count('<td data-label="account">') == 2


@pytest.mark.parametrize("path", ["/deliveries?status=done", "/bookings?tab=all", "/deliveries?status=all&event=x"])
def test_a_filter_stays_with_the_tabs(client: Client, two_accounts: Harness, path: str) -> None:
    page = client("read").get(f"{path}&account={ACCOUNT}").text
    tabs = page.partition('<nav class="tabs"')[2].partition("</nav>")[0]
    assert all(f"account={ACCOUNT}" in href for href in re.findall('href="([^"]*)"', tabs))


def test_a_host_is_added_to_the_account_whose_bookings_wait(client: Client, two_accounts: Harness) -> None:
    ada = client("operate")
    body = samples.created("b2", soon(2), AT, hosts=[], hostIds=["stranger"])
    two_accounts.deliver(body, account=ACCOUNT)
    two_accounts.process_due()
    page = ada.get("/hosts").text
    work = page.partition("Bookings wait for these users")[2].partition("</section>")[0]
    assert re.findall('<td data-label="account">([^<]*)</td>', work) == [ACCOUNT]
    assert f"/hosts?map=stranger&amp;of={ACCOUNT}#add" in work
    form = ada.get(f"/hosts?map=stranger&of={ACCOUNT}").text.partition("Add a host")[2]
    assert f"<option selected>{ACCOUNT}</option>" in form
    values = {"external_id": "4713", "meetergo_user_id": "stranger", "reason": "because"}
    assert ada.post("/hosts/add", data=values | {"account": "nobody"}).status_code == 409
    assert ada.post("/hosts/add", data=values | {"account": ACCOUNT}).status_code == 303
    assert {user.external_id: user.account for user in two_accounts.all(PlatformUser)}["4713"] == ACCOUNT
    sweep(two_accounts.services, datetime.now(UTC))
    assert two_accounts.booking(f"{ACCOUNT}:b2").platform_user_id


def test_what_is_done_to_a_host_is_recorded_for_the_account_of_the_host(client: Client, two_accounts: Harness) -> None:
    ada, host, database = client("operate"), f"host-{ACCOUNT}", two_accounts.services.database
    ada.post("/hosts/change", data={"external_id": host, "timezone": "Europe/Berlin", "reason": "moved"})
    calendar.share(database, host, datetime.now(UTC), by="Ada", reason="asked")
    calendar.revoke(database, host, datetime.now(UTC), by="Ada", reason="leaked")
    two_accounts.deliver(samples.cancelled("b1", soon(1), AT), account=ACCOUNT)
    two_accounts.process_due()  # so that no booking says to which account the next act belongs
    ada.post("/hosts/forget", data={"external_id": host, "reason": "left us"})
    acts = [act for act in two_accounts.all(Intervention) if host in act.reason]
    assert [act.kind for act in acts] == ["mapped", "shared", "unshared", "forgotten"]
    assert {(act.account, act.booking_id) for act in acts} == {(ACCOUNT, None)}


def test_a_booking_shows_no_host_of_another_account(client: Client, two_accounts: Harness) -> None:
    body = samples.created("b3", soon(3), AT, hosts=[], hostIds=[samples.HOST_ID, "stranger"])
    two_accounts.deliver(body, account=ACCOUNT)
    two_accounts.process_due()
    for booking_id in ("b1", "b3"):
        page = client("operate").get(f"/bookings/{ACCOUNT}:{booking_id}").text
        assert f"/hosts/host-{ACCOUNT}" in page
        assert "/hosts/host-default" not in page
    assert f"/hosts?map=stranger&amp;of={ACCOUNT}#add" in page


def test_details_say_which_account(client: Client, two_accounts: Harness) -> None:
    paths = [
        *(f"/deliveries/{row.id}" for row in two_accounts.all(Delivery) if row.account == ACCOUNT),
        *(f"/bookings/{row.id}" for row in two_accounts.all(Booking) if row.account == ACCOUNT),
        *(f"/notifications/{row.id}" for row in two_accounts.all(Notification) if row.account == ACCOUNT),
        f"/hosts/host-{ACCOUNT}",
    ]
    assert len(paths) >= 4
    for path in paths:
        assert f"<dt>account</dt><dd>{ACCOUNT}</dd>" in client("read").get(path).text, path


def test_a_run_takes_the_rows_of_one_account_alone(client: Client, two_accounts: Harness) -> None:
    ada = client("operate")
    form = plan(ada, f"kind=replay&all=1&status=done&account={ACCOUNT}")
    assert form["account"] == [ACCOUNT]
    ada.post("/runs/start", data=form | {"reason": "theirs"})
    assert f"<dt>account</dt><dd>{ACCOUNT}</dd>" in ada.get("/runs/1").text
    assert "1 delivery" in ada.get("/runs/1").text
