"""Several companies in one sandbox: the credential chooses the company, and none sees another's data."""

from collections.abc import Callable
from pathlib import Path

from urllib3 import PoolManager

from devtools.sandbox.http.rate_limit import RateLimit
from devtools.sandbox.server import Sandbox, sandbox
from tests.devtools.sandbox.conftest import EVENTS, Api, Endpoint, ManualClock, at


def test_each_key_reads_and_changes_its_own_company(
    start: Callable[..., Sandbox], http: PoolManager, endpoint: Endpoint
) -> None:
    meetergo = start(companies=2)
    first, second = meetergo.accounts
    assert (first.key, first.company) == (meetergo.key, meetergo.company)
    assert first.company.id != second.company.id
    host = second.actions.add_host("host@example.com")
    api = Api(meetergo, http)
    assert api("GET /v4/user/me", user=None, key=second.key).body["companyId"] == second.company.id
    assert api("GET /v4/user/me", user=None, key=second.token).body["companyId"] == second.company.id
    assert api("GET /v4/user", key=second.key, user=second.company.admin_id).body["total"] == 2
    assert api("GET /v4/user").body["total"] == 1
    assert api("GET /v4/user/me", user=host["userId"]).status == 403
    webhook = {"endpoint": endpoint.url, "eventTypes": EVENTS}
    assert api("POST /webhooks", webhook, key=second.key, user=second.company.admin_id).status == 201
    assert (first.company.webhooks, len(second.company.webhooks)) == ({}, 1)
    second.actions.book(host["meetingTypeId"], at(9), "guest@example.com")
    meetergo.drain()
    assert endpoint.last["companyId"] == second.company.id
    assert (meetergo.appointments, len(second.company.appointments)) == ({}, 1)


def test_a_key_expires_and_is_limited_for_its_own_company_only(
    start: Callable[..., Sandbox], http: PoolManager
) -> None:
    meetergo = start(companies=2, rate_limit=RateLimit(per_minute=1, burst=1))
    api, (first, second) = Api(meetergo, http), meetergo.accounts
    assert api("GET /v4/user/me", user=None).status == 200
    assert api("GET /v4/user/me", user=None).status == 429
    assert api("GET /v4/user/me", user=None, key=second.key).status == 200
    meetergo.expire(first.key)
    assert api("GET /v4/user/me", user=None).status == 401
    renewed = meetergo.new_key(second.company)
    assert api("GET /v4/user/me", user=None, key=renewed).body["companyId"] == second.company.id


def test_the_companies_survive_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "state.json"
    with sandbox(now=clock, state=path, companies=2) as before:
        before.accounts[1].actions.add_host("host@example.com")
        before.save()
    with sandbox(now=clock, state=path, companies=2) as after:
        assert [each.key for each in after.accounts] == [each.key for each in before.accounts]
        assert after.accounts[1].company.users == before.accounts[1].company.users
    with sandbox(now=clock, state=path) as alone:
        assert alone.users == before.users


def test_the_page_shows_the_company_of_its_address(start: Callable[..., Sandbox], http: PoolManager) -> None:
    meetergo = start(companies=2)
    second = meetergo.accounts[1]
    host = second.actions.add_host("host@example.com", slug="the-host")
    found = http.request("GET", f"{meetergo.url}/book/the-host/x")
    assert second.key in found.data.decode()
    shown = http.request("GET", f"{meetergo.url}/sandbox/view", headers={"cookie": "company=2"})
    assert host["userId"] in shown.data.decode()
    assert host["userId"] not in http.request("GET", f"{meetergo.url}/sandbox/view").data.decode()
    assert http.request("GET", f"{meetergo.url}/?company=3").status == 404
