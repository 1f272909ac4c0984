"""`accounts`, and the commands that act on one: each with its own key, webhook and hosts, and none with another's."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import select, text

from console.__main__ import cli
from devtools.sandbox.server import CompanyAccount, Sandbox, sandbox
from devtools.send import samples
from meetergo.api.credential import Credential
from models.account import DEFAULT, Account
from models.booking import Booking
from models.delivery import delivery_id
from models.endpoint import Endpoint
from models.intervention import Intervention
from models.platform_user import PlatformUser
from operations.users.host_entry import HostEntry
from operations.users.onboarding import Onboarding, Outcome
from runtime.encryption import BodyCipher
from runtime.signed_address import AddressSigner
from tests.console.cli import ON_SQLITE
from tests.console.conftest import NEW_KEY, OLD_KEY, PUBLIC_URL, Operator
from tests.worker.harness import AT, START, Harness

pytestmark = ON_SQLITE
BODY_KEY = Fernet.generate_key().decode()
HOSTS = "external_id,email,given_name,family_name\n{},host@example.com,The,Host\n"


@pytest.fixture
def meetergo() -> Iterator[Sandbox]:
    with sandbox(companies=3) as stand_in:
        yield stand_in


@pytest.fixture
def acme(meetergo: Sandbox) -> CompanyAccount:
    return meetergo.accounts[1]


@pytest.fixture
def operator(open_operator: Callable[..., Operator], meetergo: Sandbox) -> Operator:
    return open_operator(meetergo, BODY_KEYS=BODY_KEY)


def run(operator: Operator, *words: str, typed: str | None = None) -> Result:
    """Run a command that reads a line of stdin; no key may show."""
    result = CliRunner().invoke(cli, words, env=operator.settings, input=typed)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    for account in operator.meetergo.accounts:
        assert account.key not in result.output
        assert account.key.rpartition(":")[2] not in result.output
    return result


def add(operator: Operator, account: CompanyAccount, name: str = "acme", *words: str) -> Result:
    return run(operator, "accounts", "add", name, "--api-key", *words, typed=account.key)


def address(name: str, key: str = OLD_KEY) -> str:
    return PUBLIC_URL + AddressSigner([key]).path(name)


def test_an_account_is_added_with_a_key_that_is_stored_encrypted_and_never_shown(
    operator: Operator, acme: CompanyAccount
) -> None:
    done = add(operator, acme, "acme", "--channel", "log:", "--reconcile-days", "30")
    assert done.exit_code == 0, done.output
    assert f"The account acme is added: company {acme.company.id}." in done.stdout
    assert "bin/inbox webhook register --account acme" in done.stdout
    with operator.database.read_only() as session:
        row = session.get_one(Account, "acme")
        stored = session.scalars(text("SELECT api_key FROM accounts")).one()
        [recorded] = session.scalars(select(Intervention))
    assert acme.key.encode() not in bytes(stored)
    config = row.config(BodyCipher([BODY_KEY]))
    assert (config.api_key(), config.company_id, config.reconcile_days) == (acme.key, acme.company.id, 30)
    assert (config.channels, config.is_active) == (("log:",), True)
    assert (recorded.kind, recorded.account, recorded.reason) == ("configured", "acme", "account acme added")
    [listed] = json.loads(run(operator, "accounts", "list", "--json").stdout)["accounts"]
    assert (listed["name"], listed["api_key"], listed["channels"]) == ("acme", "encrypted", 1)
    assert [line.split()[:2] for line in run(operator, "accounts", "list").stdout.splitlines()[-2:]] == [
        ["default", "active"],
        ["acme", "active"],
    ]


@pytest.mark.parametrize(
    ("name", "words", "typed", "said"),
    [
        ("default", [], "", "is the account of the settings"),
        ("a b", [], "", "1 to 64 letters"),
        ("acme", ["--api-key"], "secret-of-someone", "a Platform API key looks like"),
        ("acme", ["--api-key"], "", "--api-key reads a line from stdin"),
        ("acme", ["--channel", "-"], "", "--channel - reads a line from stdin"),
        ("acme", ["--api-key", "--api-key-from", "env:KEY"], "x", "exclude each other"),
        ("acme", ["--api-key-from", "https://vault"], "", "env:NAME or file:/path"),
        ("acme", ["--api-key-from", "env:NOT_SET_ANYWHERE"], "", "NOT_SET_ANYWHERE is not set"),
        ("acme", ["--channel", "nowhere"], "", "a channel is a URL"),
        ("acme", ["--company-id", "x" * 300], "", "is too long"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_sentence_and_nothing_is_stored(
    operator: Operator, name: str, words: list[str], typed: str, said: str
) -> None:
    done = run(operator, "accounts", "add", name, *words, typed=typed)
    assert done.exit_code != 0
    assert said in done.stderr
    assert "secret-of-someone" not in done.output
    with operator.database.read_only() as session:
        assert session.scalars(select(Account)).all() == []


def test_channels_with_a_secret_are_read_from_stdin_behind_the_key(operator: Operator, acme: CompanyAccount) -> None:
    typed = f"{acme.key}\nhttps://platform.example/s3cret\nlog:\n"
    words = ("--channel", "-", "--channel", "https://desk.example/", "--channel", "-")
    operator.settings.update(NOTIFY_SIGNING_SECRET="whsec_" + "c2VjcmV0" * 4)
    done = run(operator, "accounts", "add", "acme", "--api-key", *words, typed=typed)
    assert done.exit_code == 0, done.output
    assert "s3cret" not in done.output
    with operator.database.read_only() as session:
        channels = session.get_one(Account, "acme").channels
    assert channels == ["https://platform.example/s3cret", "https://desk.example/", "log:"]


def test_without_keys_to_encrypt_it_an_api_key_is_not_stored_but_may_be_read_from_elsewhere(
    operator: Operator, acme: CompanyAccount, tmp_path: Path
) -> None:
    del operator.settings["BODY_KEYS"]
    done = add(operator, acme)
    assert (done.exit_code, "set BODY_KEYS" in done.stderr) == (1, True)
    (tmp_path / "acme.key").write_text(acme.key + "\n")
    operator.settings["BETA_KEY"] = operator.meetergo.accounts[2].key
    assert run(operator, "accounts", "add", "acme", "--api-key-from", f"file:{tmp_path / 'acme.key'}").exit_code == 0
    assert run(operator, "accounts", "add", "beta", "--api-key-from", "env:BETA_KEY").exit_code == 0
    for name, account in (("acme", acme), ("beta", operator.meetergo.accounts[2])):
        found = json.loads(run(operator, "api", "check", "--account", name, "--json").stdout)
        assert (found["account"], found["company_id"]) == (name, account.company.id)


def test_a_key_of_another_company_or_one_that_meetergo_refuses_is_not_taken(
    operator: Operator, acme: CompanyAccount
) -> None:
    assert add(operator, acme).exit_code == 0
    beta = operator.meetergo.accounts[2]
    wrong = run(operator, "accounts", "set", "acme", "--api-key", typed=beta.key)
    assert (wrong.exit_code, f"that of the company {beta.company.id}" in wrong.stderr) == (1, True)
    again = add(operator, acme, "acme-2")
    assert (again.exit_code, "the account acme is that company already" in again.stderr) == (1, True)
    operator.meetergo.expire(beta.key)
    refused = add(operator, beta, "beta")
    assert (refused.exit_code, "API key of the account beta: " in refused.stderr) == (1, True)
    assert run(operator, "accounts", "add", "beta", "--api-key", "--no-check", typed=beta.key).exit_code == 0
    renewed = operator.meetergo.new_key(beta.company)
    assert run(operator, "accounts", "set", "beta", "--api-key", typed=renewed).exit_code == 0
    assert run(operator, "api", "check", "--account", "beta").exit_code == 0


def test_each_account_registers_rotates_and_removes_its_own_webhook(operator: Operator, acme: CompanyAccount) -> None:
    add(operator, acme)
    assert run(operator, "webhook", "register").exit_code == 0
    assert run(operator, "webhook", "register", "--account", "acme").exit_code == 0
    [ours], [theirs] = operator.meetergo.webhooks, acme.company.webhooks.values()
    assert (ours["endpoint"], theirs["endpoint"]) == (address("default"), address("acme"))
    assert ours["id"] == theirs["id"]  # ids are those of a company
    assert run(operator, "webhook", "url", "--account", "acme").stdout.strip() == address("acme")
    assert run(operator, "webhook", "url", "--account", "nobody").exit_code == 1
    assert "nothing to do" in run(operator, "webhook", "register").stdout.lower()
    operator.settings["WEBHOOK_KEYS"] = f"{OLD_KEY},{NEW_KEY}"
    rotated = run(operator, "webhook", "rotate", "--account", "acme", "--force", "--no-wait")
    assert (rotated.exit_code, "once this is done for every account" in rotated.stdout) == (0, True)
    [theirs] = acme.company.webhooks.values()
    assert (ours["endpoint"], theirs["endpoint"]) == (address("default"), address("acme", NEW_KEY))
    assert run(operator, "webhook", "remove", "--account", "acme", "--yes").exit_code == 0
    assert (len(operator.meetergo.webhooks), len(acme.company.webhooks)) == (1, 0)
    with operator.database.read_only() as session:
        assert [row.provider_id for row in Endpoint.all(session, DEFAULT)] == [str(ours["id"])]
        assert Endpoint.all(session, "acme") == []


def test_an_import_that_stops_names_the_account_whose_key_is_refused(
    operator: Operator, acme: CompanyAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(operator, acme)
    apply = Onboarding.apply

    def apply_after_expiry(onboarding: Onboarding, host: HostEntry) -> Outcome:
        operator.meetergo.expire(acme.key)
        return apply(onboarding, host)

    monkeypatch.setattr(Onboarding, "apply", apply_after_expiry)
    (tmp_path / "hosts.csv").write_text(HOSTS.format("acme-1"))
    stopped = run(operator, "users", "onboard", "hosts.csv", "--account", "acme")
    assert (stopped.exit_code, "line 2: API key of the account acme: " in stopped.stderr) == (1, True), stopped.output


def test_a_refresh_names_the_account_whose_key_is_refused(operator: Operator, acme: CompanyAccount) -> None:
    add(operator, acme)
    with operator.database.transaction() as session:
        session.add(Booking(id="acme:b1", account="acme", as_of=AT, created_at=AT, updated_at=AT))
    operator.meetergo.expire(acme.key)
    refused = run(operator, "bookings", "refresh", "acme:b1")
    assert (refused.exit_code, "API key of the account acme: " in refused.stderr) == (1, True), refused.output


def test_hosts_are_onboarded_listed_and_booked_in_their_account(
    operator: Operator, acme: CompanyAccount, tmp_path: Path
) -> None:
    add(operator, acme)
    for external_id, words in (("4711", []), ("acme-1", ["--account", "acme"])):
        (tmp_path / "hosts.csv").write_text(HOSTS.format(external_id))
        done = run(operator, "users", "onboard", "hosts.csv", *words)
        assert "1 created" in done.stdout, done.output
    users = {user.external_id: user for user in operator.users()}
    assert {key: user.account for key, user in users.items()} == {"4711": "default", "acme-1": "acme"}
    assert users["acme-1"].meetergo_user_id in acme.company.users
    assert users["4711"].meetergo_user_id in operator.meetergo.users
    again = run(operator, "users", "onboard", "hosts.csv")
    assert (again.exit_code, "belongs to the account acme" in again.stdout) == (1, True)
    listed = run(operator, "users", "list", "--account", "acme").stdout
    assert ("acme-1" in listed, "4711" in listed) == (True, False)
    assert run(operator, "slots", "acme-1").exit_code == 0
    assert run(operator, "meeting-types", "list", "acme-1").exit_code == 0
    synced = json.loads(run(operator, "users", "sync", "--json").stdout)
    assert ([each["external_id"] for each in synced["findings"]], len(synced["strangers"])) == ([], 1)
    with operator.database.transaction() as session:
        session.scalars(select(PlatformUser).where(PlatformUser.external_id == "acme-1")).one().name = "Other"
    synced = json.loads(run(operator, "users", "sync", "--account", "acme", "--json").stdout)
    assert [(each["external_id"], each["kind"]) for each in synced["findings"]] == [("acme-1", "differs")]
    assert run(operator, "users", "forget", "acme-1", "--yes").exit_code == 0
    assert [bool(user.meetergo_user_id) for user in operator.users()] == [True, False]


def test_an_account_is_disabled_and_enabled_and_its_rows_stay(operator: Operator, acme: CompanyAccount) -> None:
    add(operator, acme)
    assert "webhook remove --account acme" in run(operator, "accounts", "disable", "acme").stdout
    assert "already" in run(operator, "accounts", "disable", "acme").stdout
    with operator.database.read_only() as session:
        assert not session.get_one(Account, "acme").is_active
    assert run(operator, "accounts", "enable", "acme").exit_code == 0
    for words in (["disable", "nobody"], ["set", "nobody", "--api-user", "x"], ["disable", "default"]):
        assert run(operator, "accounts", *words).exit_code == 1
    assert run(operator, "accounts", "set", "acme").exit_code == 2


def test_the_requests_of_an_account_count_against_the_limit_of_its_own_key(
    operator: Operator, acme: CompanyAccount, redis: Redis
) -> None:
    add(operator, acme)
    operator.settings["MEETERGO_API_PER_MINUTE"] = "4"  # a check makes two requests
    for words in ([], ["--account", "acme"]):
        assert run(operator, "api", "check", *words).exit_code == 0
    counted = b" ".join(redis.keys("*api-limit*")).decode()
    assert all(Credential.read(key).fingerprint in counted for key in (operator.meetergo.key, acme.key)), counted


def test_lists_show_and_filter_by_the_account_and_erase_and_replay_keep_to_it(
    operator: Operator, open_harness: Callable[..., Harness]
) -> None:
    harness = open_harness(body_keys=BODY_KEY)
    with harness.services.database.transaction() as session:
        now = datetime.now(UTC)
        session.add(Account(name="acme", is_active=True, created_at=now, updated_at=now))
    broken = b'{"webhookType": "booking_created", "id": "b2"'
    for name in ("default", "acme"):
        harness.process(samples.created("b1", START, AT), broken, account=name)
    harness.send_all()
    for list_of, rows in (("bookings", 1), ("deliveries", 2), ("notifications", 1)):
        assert run(operator, list_of, "list").stdout.split()[0] == "account", list_of
        of_acme = json.loads(run(operator, list_of, "list", "--account", "acme", "--json").stdout)[list_of]
        assert [row["account"] for row in of_acme] == ["acme"] * rows
    assert run(operator, "bookings", "show", "acme:b1").exit_code == 0
    replayed = json.loads(run(operator, "replay", "--dead", "--account", "acme", "--dry-run", "--json").stdout)
    assert [row["id"] for row in replayed["deliveries"]] == [delivery_id(broken, "acme")]
    erased = run(operator, "erase", "guest-1@example.com", "--account", "acme", "--yes", "--json")
    assert json.loads(erased.stdout)["bookings"] == 1, erased.output
    guests = {row.id: str(row.attendees) for row in harness.all(Booking)}
    assert ("guest-1@" in guests["b1"], "guest-1@" in guests["acme:b1"]) == (True, False)


@pytest.mark.parametrize(
    "command",
    [
        "bookings list",
        "deliveries list",
        "deliveries errors",
        "notifications list",
        "notifications errors",
        "users list",
        "replay --dead --dry-run",
        "notifications replay --dead --dry-run",
        "deliveries ignore --dead --reason never --yes",
        "erase guest-1@example.com --yes",
    ],
)
def test_a_misspelt_account_is_refused(operator: Operator, command: str) -> None:
    """Not answered as if nothing matched."""
    done = run(operator, *command.split(), "--account", "nobody")
    assert (done.exit_code, "there is no account 'nobody': `accounts list`" in done.output) == (1, True), done.output


def test_without_another_account_nothing_mentions_accounts(operator: Operator) -> None:
    assert "accounts add NAME --api-key" in run(operator, "accounts", "list").stdout
    assert "account" not in run(operator, "users", "list").stdout


@pytest.mark.parametrize("change", ["channels = '5'", "created_at = 'by hand'"])
def test_a_row_that_was_written_by_hand_does_not_stop_status(
    operator: Operator, acme: CompanyAccount, change: str
) -> None:
    add(operator, acme)
    with operator.database.transaction() as session:
        session.execute(text(f"UPDATE accounts SET {change}"))
    shown = json.loads(run(operator, "status", "--json").stdout)
    assert [each["name"] for each in shown["accounts"]] == ["default", "acme"]
    if change.startswith("channels"):
        [listed] = json.loads(run(operator, "accounts", "list", "--json").stdout)["accounts"]
        assert listed["channels"] == 0


def test_a_host_of_another_account_is_not_compared(operator: Operator, acme: CompanyAccount, tmp_path: Path) -> None:
    add(operator, acme)
    (tmp_path / "hosts.csv").write_text(HOSTS.format("acme-1"))
    run(operator, "users", "onboard", str(tmp_path / "hosts.csv"), "--account", "acme")
    refused = run(operator, "reconcile", "--user", "acme-1", "--dry-run")
    assert (refused.exit_code, "belongs to the account acme: add --account acme" in refused.stderr) == (2, True)
    assert run(operator, "reconcile", "--user", "acme-1", "--dry-run", "--account", "acme").exit_code == 0


def test_status_shows_each_account(operator: Operator, acme: CompanyAccount, harness: Harness) -> None:
    add(operator, acme)
    harness.deliver(samples.created("b1", START, AT), account="acme")
    assert ["acme", "active", "1", "0", "-"] in [line.split() for line in run(operator, "status").stdout.splitlines()]
