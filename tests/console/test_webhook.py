"""`webhook`: our address is registered once, others' webhooks are never changed, and no output shows a path."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devtools.sandbox.faults.injector import InjectedAnswer
from devtools.sandbox.resources import webhooks
from devtools.sandbox.server import Sandbox, sandbox
from devtools.sandbox.state.company import Plan
from operations import consistency
from tests.console.cli import ON_SQLITE
from tests.console.conftest import NEW_KEY, OLD_KEY, Operator

EVENTS = ["booking_created", "booking_cancelled", "booking_rescheduled", "new_employee"]
CREATE, CHANGE, REMOVE = "POST /webhooks", "PATCH /webhooks/{id}", "DELETE /webhooks/{id}"


def plant(meetergo: Sandbox, endpoint: str, events: Any = EVENTS) -> str:
    """Register a webhook at meetergo without our knowledge."""
    body = webhooks.NewWebhook.model_validate({"endpoint": endpoint, "eventTypes": events})
    return str(webhooks.create(meetergo.company, body)["id"])


def test_our_address_is_registered_once_however_often_it_runs(operator: Operator) -> None:
    for _ in range(3):
        assert operator.run("webhook", "register").exit_code == 0
    (webhook,) = operator.meetergo.webhooks
    assert webhook["endpoint"] == operator.addresses(OLD_KEY)[0]
    assert set(webhook["eventTypes"]) == set(EVENTS)
    assert (operator.request_count(CREATE), operator.request_count(CHANGE), operator.request_count(REMOVE)) == (1, 0, 0)
    (row,) = operator.endpoints()
    assert (row.provider_id, row.event_types) == (str(webhook["id"]), EVENTS)


@ON_SQLITE
def test_an_orphan_is_adopted_rather_than_duplicated(operator: Operator) -> None:
    orphan = plant(operator.meetergo, operator.addresses(OLD_KEY)[0])
    assert f"Adopted webhook {orphan}" in operator.run("webhook", "register").stdout
    assert operator.request_count(CREATE) == operator.request_count(CHANGE) == 0
    assert [row.provider_id for row in operator.endpoints()] == [orphan]


def test_an_older_address_of_ours_is_replaced_and_takes_no_second_slot(operator: Operator) -> None:
    operator.run("webhook", "register")
    (before,) = operator.registered()
    done = operator.run("webhook", "register", "--force", public_url="http://localhost:9999")
    assert "from 127.0.0.1:8765 to localhost:9999" in done.stdout
    ((after, endpoint),) = operator.registered().items()
    assert (after, endpoint.startswith("http://localhost:9999/")) == (before, True)
    moved = operator.run("webhook", "register", "--move", "--force", webhook_keys=f"{OLD_KEY},{NEW_KEY}")
    assert moved.exit_code == 0, moved.output
    assert operator.registered() == {before: operator.addresses(NEW_KEY)[0]}
    assert (operator.request_count(CREATE), len(operator.endpoints())) == (1, 1)


@ON_SQLITE
def test_an_address_is_not_replaced_unless_forced_while_the_receiver_may_lack_the_key(operator: Operator) -> None:
    operator.run("webhook", "register")
    before = operator.registered()
    operator.settings["WEBHOOK_KEYS"] = f"{OLD_KEY},{NEW_KEY}"
    for words in ([], ["--dry-run"]):
        done = operator.run("webhook", "register", *words)
        assert done.exit_code == 1
        assert "`webhook rotate`" in done.stderr
        assert operator.registered() == before
    assert operator.run("webhook", "register", "--move").exit_code == 0
    assert list(operator.registered().values()) == operator.addresses(NEW_KEY)


@pytest.mark.parametrize("words", [["register"], ["remove", "--yes"], ["rotate", "--timeout", "1s"]])
def test_a_copy_of_another_installations_database_does_not_take_its_webhook(
    operator: Operator, words: list[str]
) -> None:
    operator.run("webhook", "register")
    ((id_, endpoint),) = operator.registered().items()
    operator.settings |= {"PUBLIC_URL": "http://localhost:9999", "WEBHOOK_KEYS": f"{OLD_KEY},{NEW_KEY}"}
    done = operator.run("webhook", *words)
    assert done.exit_code == 1
    assert f"webhook {id_} posts to 127.0.0.1:8765 and not to localhost:9999" in done.stderr
    assert "--force" in done.stderr
    assert operator.registered()[id_] == endpoint
    assert (operator.request_count(CHANGE), operator.request_count(REMOVE)) == (0, 0)
    assert operator.run("webhook", words[0], "--force", *words[1:]).exit_code == 0
    assert operator.registered().get(id_) != endpoint


@ON_SQLITE
def test_a_webhook_from_before_a_change_of_domain_and_database_is_named_and_can_be_removed(operator: Operator) -> None:
    former = plant(operator.meetergo, operator.addresses(OLD_KEY)[0])
    other = plant(operator.meetergo, "https://other.example/webhooks/meetergo/default." + "x" * 43)
    operator.settings["PUBLIC_URL"] = "http://localhost:9999"
    for words in (["--dry-run"], [], []):
        done = operator.run("webhook", "register", *words)
        assert done.exit_code == 0, done.output
        assert f"Webhook {former} posts to an address of these WEBHOOK_KEYS on 127.0.0.1:8765." in done.stdout
        assert f"`webhook remove {former} --force`" in done.stdout
        assert f"Webhook {other}" not in done.stdout
    refused = operator.run("webhook", "remove", former, "--yes")
    assert (refused.exit_code, "--force" in refused.stderr) == (1, True)
    assert operator.run("webhook", "remove", former, "--force", "--yes").exit_code == 0
    assert sorted(operator.registered().values())[0] == operator.addresses(OLD_KEY)[0]
    assert former not in operator.registered()
    assert operator.run("webhook", "register").stdout == "Nothing to do: meetergo posts to our address already.\n"


@ON_SQLITE
def test_removing_all_leaves_an_installation_with_the_same_keys_alone(operator: Operator) -> None:
    other = plant(operator.meetergo, operator.addresses(OLD_KEY)[0].replace("127.0.0.1:8765", "localhost:9999"))
    operator.run("webhook", "register")
    assert operator.run("webhook", "remove", "--yes", "--force").exit_code == 0
    assert set(operator.registered()) == {other}


@ON_SQLITE
def test_an_installation_with_the_same_keys_on_the_same_host_is_left_alone_unless_forced(operator: Operator) -> None:
    operator.settings["PUBLIC_URL"] = "http://127.0.0.1:8765/test"
    other = plant(operator.meetergo, operator.addresses(OLD_KEY)[0].replace("/test/", "/live/"))
    operator.run("webhook", "register")
    done = operator.run("webhook", "remove", other, "--yes")
    assert (done.exit_code, other in operator.registered()) == (1, True)
    assert "another installation may receive there. If none does, run this again with --force" in done.stderr
    assert operator.run("webhook", "remove", other, "--yes", "--force").exit_code == 0
    assert other not in operator.registered()


@ON_SQLITE
def test_what_came_by_our_address_did_not_come_by_the_same_one_elsewhere(operator: Operator, harness: Any) -> None:
    operator.run("webhook", "register")
    former = plant(operator.meetergo, operator.addresses(OLD_KEY)[0].replace("127.0.0.1:8765", "localhost:9999"))
    (row,) = operator.endpoints()
    harness.services.job_queue.record_seen(row.fingerprint, datetime.now(UTC))
    listed = json.loads(operator.run("webhook", "list", "--json").stdout)["webhooks"]
    assert {each["id"] == former: bool(each["last_delivery_at"]) for each in listed} == {True: False, False: True}


@ON_SQLITE
def test_an_incompletely_readable_list_registers_nothing(operator: Operator) -> None:
    listed = [{"id": 1, "endpoint": "https://other.example/hook"}, {"id": 2, "endpoint": None}]
    operator.meetergo.inject_faults("GET /webhooks", InjectedAnswer(200, json.dumps(listed).encode()))
    done = operator.run("webhook", "register")
    assert done.exit_code == 1
    assert "an item of the list is malformed" in done.stderr
    assert operator.request_count(CREATE) == 0


@ON_SQLITE
def test_a_change_that_the_response_does_not_confirm_is_not_reported_as_done(operator: Operator) -> None:
    operator.run("webhook", "register")
    ((id_, endpoint),) = operator.registered().items()
    stays = InjectedAnswer(200, json.dumps({"id": id_, "endpoint": endpoint}).encode())
    operator.meetergo.inject_faults(CHANGE, stays, stays, stays)
    done = operator.run("webhook", "register", "--move", webhook_keys=f"{OLD_KEY},{NEW_KEY}")
    assert done.exit_code == 1
    assert "check whether it was applied" in done.stderr
    assert "Moved" not in done.stdout


@ON_SQLITE
def test_a_create_with_unknown_outcome_is_looked_up_after_a_wait(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consistency, "READ_AFTER_WRITE_DELAY", timedelta(seconds=5))
    pauses: list[float] = []

    def made_late(seconds: float) -> None:
        pauses.append(seconds)
        plant(operator.meetergo, operator.addresses(OLD_KEY)[0])

    monkeypatch.setattr(consistency, "sleep", made_late)
    operator.meetergo.inject_faults(CREATE, "fail")
    assert operator.run("webhook", "register").exit_code == 0
    assert (pauses, len(operator.registered()), operator.request_count(CREATE)) == ([5.0], 1, 1)


@ON_SQLITE
def test_a_known_id_with_another_address_is_not_ours(operator: Operator) -> None:
    operator.run("webhook", "register")
    (webhook,) = operator.meetergo.company.webhooks.values()
    webhook["endpoint"] = "https://elsewhere.example/hook"
    operator.run("webhook", "register")
    assert sorted(operator.registered().values()) == [
        operator.addresses(OLD_KEY)[0],
        "https://elsewhere.example/hook",
    ]


@ON_SQLITE
@pytest.mark.parametrize(("events", "changes"), [(EVENTS[::-1], 0), (EVENTS[:2], 1), ([*EVENTS, "form_submission"], 1)])
def test_events_are_compared_as_sets(operator: Operator, events: list[str], changes: int) -> None:
    plant(operator.meetergo, operator.addresses(OLD_KEY)[0], events)
    operator.run("webhook", "register")
    assert operator.request_count(CHANGE) == changes
    assert set(operator.meetergo.webhooks[0]["eventTypes"]) == set(EVENTS)


@ON_SQLITE
def test_duplicates_of_our_address_are_removed_and_others_stay(operator: Operator) -> None:
    operator.run("webhook", "register")
    (ours,) = operator.registered()
    plant(operator.meetergo, operator.addresses(OLD_KEY)[0])
    other = plant(operator.meetergo, "https://other.example/hook?key=abc")
    operator.run("webhook", "register")
    assert set(operator.registered()) == {ours, other}


@ON_SQLITE
@pytest.mark.parametrize("act", ["commit_then_fail", "commit_then_drop", "fail", "drop_connection"])
def test_a_create_with_unknown_outcome_is_looked_up_before_another(operator: Operator, act: str) -> None:
    operator.meetergo.inject_faults(CREATE, act)
    done = operator.run("webhook", "register")
    assert done.exit_code == 0, done.output
    assert len(operator.registered()) == len(operator.endpoints()) == 1
    assert operator.request_count(CREATE) == (1 if act.startswith("commit") else 2)
    assert operator.request_count("GET /webhooks") >= 2


@ON_SQLITE
def test_a_create_whose_outcome_stays_unknown_gives_a_message_and_can_be_repeated(operator: Operator) -> None:
    operator.meetergo.inject_faults(CREATE, "fail", "fail", "fail")
    done = operator.run("webhook", "register")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert operator.run("webhook", "register").exit_code == 0


@ON_SQLITE
def test_without_a_free_slot_it_lists_the_occupants_by_host(open_operator: Callable[..., Operator]) -> None:
    with sandbox(plan=Plan(webhooks=6)) as meetergo:
        operator = open_operator(meetergo)
        for number in range(6):
            plant(meetergo, f"https://user:word@other-{number}.example/secret-path")
        done = operator.run("webhook", "register")
    assert done.exit_code == 1
    assert "other-5.example" in done.stderr
    assert "secret-path" not in done.stderr
    assert "word" not in done.stderr
    assert not operator.endpoints()


@ON_SQLITE
def test_a_dry_run_changes_nothing(operator: Operator) -> None:
    assert "It would have registered" in operator.run("webhook", "register", "--dry-run").stdout
    assert not operator.registered()
    operator.run("webhook", "register")
    assert "nothing to do" in operator.run("webhook", "register", "--dry-run").stdout


@ON_SQLITE
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"public_url": ""}, "PUBLIC_URL is not set"),
        ({"public_url": "http://inbox.example"}, "must begin with https"),
        ({"public_url": "https://10.0.0.1"}, "must be public"),
        ({"meetergo_api_key": ""}, "MEETERGO_API_KEY is not set"),
        ({"meetergo_api_key": "abc"}, "MEETERGO_API_KEY cannot be used"),
    ],
)
def test_an_unusable_address_gives_an_error_message_before_any_request(
    operator: Operator, settings: dict[str, str], sentence: str
) -> None:
    done = operator.run("webhook", "register", **{"meetergo_api_url": "https://api.meetergo.com", **settings})
    assert done.exit_code in (1, 2)
    assert sentence in done.stderr


@ON_SQLITE
def test_an_expired_key_gives_an_error_message_that_names_the_setting(operator: Operator) -> None:
    operator.meetergo.expire(operator.meetergo.key)
    done = operator.run("webhook", "register")
    assert done.exit_code == 1
    assert "MEETERGO_API_KEY" in done.stderr
    assert "make a new key" in done.stderr


@ON_SQLITE
def test_a_personal_access_token_can_register(operator: Operator) -> None:
    assert operator.run("webhook", "register", meetergo_api_key=operator.meetergo.token).exit_code == 0
    assert len(operator.registered()) == 1


@ON_SQLITE
def test_the_list_redacts_our_urls_and_shows_the_host_of_others(operator: Operator, harness: Any) -> None:
    operator.run("webhook", "register")
    plant(operator.meetergo, "https://other.example/secret-path")
    (row,) = operator.endpoints()
    harness.services.job_queue.record_seen(row.fingerprint, datetime.now(UTC))
    listed = json.loads(operator.run("webhook", "list", "--json").stdout)["webhooks"]
    assert [(item["ours"], item["address"]) for item in listed] == [
        (True, "http://127.0.0.1:8765/webhooks/meetergo/***"),
        (False, "other.example"),
    ]
    assert listed[0]["last_delivery_at"]
    assert listed[1]["last_delivery_at"] is None
    table = operator.run("webhook", "list").stdout
    assert "secret-path" not in table
    assert "ago" in table


def test_remove_affects_only_webhooks_that_are_ours_by_id_and_address(operator: Operator) -> None:
    other = plant(operator.meetergo, "https://other.example/hook")
    orphan = plant(operator.meetergo, operator.addresses(NEW_KEY)[0])
    operator.run("webhook", "register")
    ours = next(iter(operator.registered().keys() - {other, orphan}))
    for stranger in (other, orphan):
        done = operator.run("webhook", "remove", stranger, "--yes")
        assert done.exit_code == 1
        assert "not known as ours" in done.stderr
    assert operator.run("webhook", "remove").exit_code == 1  # no confirmation
    assert operator.request_count(REMOVE) == 0
    assert operator.run("webhook", "remove", "--yes").exit_code == 0
    assert set(operator.registered()) == {other, orphan}
    assert ours not in operator.registered()
    assert not operator.endpoints()
    assert operator.run("webhook", "remove", "--yes").exit_code == 0


@ON_SQLITE
def test_a_removal_with_unknown_outcome_is_looked_up(operator: Operator) -> None:
    operator.run("webhook", "register")
    operator.meetergo.inject_faults(REMOVE, "commit_then_fail")
    assert operator.run("webhook", "remove", "--yes").exit_code == 0
    assert operator.request_count(REMOVE) == 1
    assert not operator.registered()
    assert not operator.endpoints()


@ON_SQLITE
def test_a_rotation_says_what_it_would_do(open_operator: Callable[..., Operator], operator: Operator) -> None:
    assert "It would register the address" in operator.run("webhook", "rotate", "--dry-run").stdout
    operator.run("webhook", "register")
    assert "There is nothing to do." in operator.run("webhook", "rotate", "--dry-run").stdout
    newer = open_operator(operator.meetergo, WEBHOOK_KEYS=f"{OLD_KEY},{NEW_KEY}")
    assert (
        "It would wait for a delivery by that address, and remove "
        in newer.run("webhook", "rotate", "--dry-run").stdout
    )
    refused = newer.run("webhook", "rotate", redis_url="")
    assert (refused.exit_code, "REDIS_URL is not set: Redis records" in refused.stderr) == (1, True)
    assert (
        "1 more at older addresses of ours: `webhook rotate` removes them." in newer.run("webhook", "register").stdout
    )
