"""Injected faults of the API, deliberate and repeatable; and the real limits."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.faults.plan import FaultPlan
from devtools.sandbox.http.rate_limit import RateLimit
from devtools.sandbox.server import Sandbox
from tests.devtools.sandbox.conftest import MONDAY, Api, Host, ManualClock, at, booking

ME = "GET /v4/user/me"
NEW_USER = {"email": "new@example.com", "givenName": "A", "familyName": "User", "timezone": "Europe/Berlin"}


def outcome(api: Api, route: str, body: object = None) -> int:
    """Return the status, or 0 if the connection was dropped."""
    try:
        return api(route, body).status
    except ProtocolError:
        return 0


def test_without_a_plan_there_are_no_faults(api: Api) -> None:
    assert {outcome(api, ME) for _ in range(50)} == {200}


def test_requests_are_counted_by_route(meetergo: Sandbox, api: Api, host: Host) -> None:
    api(ME)
    api(f"GET /v4/meeting-type/{host.meeting_type}")
    api("GET /webhooks")
    api("GET /v4/nothing")
    expected = [ME, "GET /v4/meeting-type/{id}", "GET /webhooks", "GET /v4/nothing"]
    assert meetergo.requests == Counter(expected)


def test_failed_requests_have_no_effect_and_several_forms(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(fail=1)
    answers = [api("POST /v4/user", NEW_USER | {"email": f"{number}@example.com"}) for number in range(30)]
    assert {answer.status for answer in answers} == {500, 502, 503, 504}
    assert {answer.headers["content-type"].partition(";")[0] for answer in answers} == {"application/json", "text/html"}
    assert len(meetergo.users) == 1


def test_a_write_can_take_effect_and_fail(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(commit_then_fail=1)
    answers = {outcome(api, "POST /v4/user", NEW_USER | {"email": f"{number}@example.com"}) for number in range(10)}
    assert answers == {0, 500}
    assert len(meetergo.users) == 11


def test_reads_and_rejections_are_never_ambiguous(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(commit_then_fail=1)
    assert outcome(api, ME) == 200
    assert {outcome(api, "POST /v4/user", {"email": f"{number}@example.com"}) for number in range(10)} == {400}


def test_a_hanging_connection_is_dropped_without_a_response(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(time_out=1, hang=0.01)
    assert outcome(api, "POST /v4/user", NEW_USER) == 0
    assert len(meetergo.users) == 1


def test_a_client_with_a_shorter_timeout_times_out(meetergo: Sandbox) -> None:
    meetergo.inject_faults(ME, "time_out")
    with PoolManager(retries=False, timeout=Timeout(connect=60, read=0.05)) as http, pytest.raises(ReadTimeoutError):
        Api(meetergo, http)(ME)


def test_a_429_has_each_form_of_retry_after_or_none(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(rate_limit=1)
    answers = [api(ME) for _ in range(30)]
    expected = {"statusCode": 429, "message": "Too Many Requests", "error": "Too Many Requests"}
    assert all(answer.status == 429 and answer.body == expected for answer in answers)
    forms = {answer.headers.get("retry-after") for answer in answers}
    assert {None, "1"} < forms
    [date] = forms - {None, "1"}
    assert date is not None
    assert parsedate_to_datetime(date) > MONDAY


def test_the_form_of_retry_after_can_be_chosen(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(rate_limit=1, retry_after=("none",))
    assert all("retry-after" not in api(ME).headers for _ in range(10))


def test_all_credentials_expire_from_a_request_on(meetergo: Sandbox, api: Api) -> None:
    meetergo.faults = FaultPlan(expire_key=3)
    assert [outcome(api, ME) for _ in range(4)] == [200, 200, 401, 401]
    meetergo.faults = FaultPlan()
    assert outcome(api, ME) == 200


def test_faults_can_be_queued_for_the_next_calls_of_a_route(meetergo: Sandbox, api: Api) -> None:
    odd = InjectedAnswer(200, b"<html>", {"content-type": "text/html"})
    meetergo.inject_faults(ME, "rate_limit", None, "drop_connection", odd)
    assert [outcome(api, ME) for _ in range(2)] == [429, 200]
    assert outcome(api, "GET /webhooks") == 200
    assert outcome(api, ME) == 0
    assert api(ME).content == b"<html>"
    assert outcome(api, ME) == 200


def test_the_same_seed_gives_the_same_faults_in_any_number_of_threads(
    start: Callable[..., Sandbox], http: PoolManager
) -> None:
    faults = FaultPlan(seed=5, fail=0.2, rate_limit=0.2, commit_then_fail=0.2)
    seen = []
    for threads in (1, 4):
        api = Api(start(faults), http)

        def tried(number: int, api: Api = api) -> list[int]:
            return [outcome(api, "POST /v4/user", NEW_USER | {"email": f"{number}@example.com"}) for _ in range(3)]

        with ThreadPoolExecutor(threads) as pool:
            seen.append(list(pool.map(tried, range(20))))
        seen.append(sorted(api.meetergo.users))
    assert [[status // 100 for status in statuses] for statuses in seen[0]] == [
        [status // 100 for status in statuses] for statuses in seen[2]
    ]
    assert seen[1] == seen[3]
    assert len({status for statuses in seen[0] for status in statuses}) > 4


def test_another_seed_gives_other_faults() -> None:
    acts = [
        [FaultPlan(seed=seed, fail=0.5).request_fault("GET", str(number)) for number in range(50)] for seed in (1, 2)
    ]
    assert acts[0] != acts[1]


@pytest.fixture
def limited(start: Callable[..., Sandbox], http: PoolManager) -> Api:
    return Api(start(rate_limit=RateLimit(per_minute=60, burst=5)), http)


def test_a_burst_passes_and_then_the_rate_per_minute(limited: Api, clock: ManualClock) -> None:
    assert [limited(ME).status for _ in range(6)] == [200] * 5 + [429]
    clock.advance(seconds=2)
    assert [limited(ME).status for _ in range(3)] == [200, 200, 429]
    clock.advance(hours=1)
    assert [limited(ME).status for _ in range(6)] == [200] * 5 + [429]


def test_a_limited_request_has_no_effect(limited: Api, host: Host) -> None:
    for _ in range(5):
        limited(ME)
    assert limited("POST /v4/booking", booking(host, at(9))).status == 429
    assert limited.meetergo.appointments == {}


def test_each_key_has_its_own_limit(limited: Api) -> None:
    assert [limited(ME).status for _ in range(6)][-1] == 429
    assert limited(ME, user=None, key=limited.meetergo.token).status == 200


def test_a_limited_response_says_when_to_retry(limited: Api, clock: ManualClock) -> None:
    limited.meetergo.faults = FaultPlan(retry_after=("seconds",))
    for _ in range(5):
        limited(ME)
    wait = int(limited(ME).headers["retry-after"])
    clock.advance(seconds=wait)
    assert limited(ME).status == 200
