"""Accounts on the web page: who may add and disable them; no page shows an API key."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from cryptography.fernet import Fernet
from flask import Flask

from devtools.sandbox.server import CompanyAccount, Sandbox, sandbox
from models.account import Account
from models.intervention import Intervention
from runtime.encryption import BodyCipher
from tests.dashboard.conftest import Client, OpenApp, client_of
from tests.worker.harness import Harness

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BODY_KEY = Fernet.generate_key().decode()


@pytest.fixture(scope="module")
def meetergo() -> Iterator[Sandbox]:
    with sandbox(companies=2) as stand_in:
        yield stand_in


@pytest.fixture
def acme(meetergo: Sandbox) -> CompanyAccount:
    return meetergo.accounts[1]


@pytest.fixture
def harness(open_harness: Callable[..., Harness]) -> Harness:
    return open_harness(body_keys=BODY_KEY)


@pytest.fixture
def app(open_app: OpenApp, harness: Harness, meetergo: Sandbox) -> Flask:
    return open_app(body_keys=BODY_KEY, meetergo_api_url=meetergo.url)


def accounts(harness: Harness) -> Sequence[Account]:
    with harness.services.database.read_only() as session:
        return Account.load_all(session)


def test_an_account_is_added_with_the_company_of_its_key(app: Flask, harness: Harness, acme: CompanyAccount) -> None:
    ada, values = client_of(app, "operate"), {"name": "acme", "api_key": acme.key}
    assert client_of(app, "read").post("/accounts/add", data=values).status_code == 403
    assert accounts(harness) == []
    assert ada.post("/accounts/add", data=values).headers["Location"] == "/accounts"
    (row,) = accounts(harness)
    assert (row.name, row.company_id, row.is_active) == ("acme", acme.company.id, True)
    assert row.config(BodyCipher([BODY_KEY])).api_key() == acme.key
    assert [(act.kind, act.by, act.account) for act in harness.all(Intervention)] == [("configured", "Ada", "acme")]
    page = ada.get("/accounts").text
    assert "stored, encrypted" in page
    assert acme.company.id in page
    for path in ("/accounts", "/audit", "/live", "/settings"):
        assert acme.key not in ada.get(path).text
        assert acme.key.rpartition(":")[2] not in ada.get(path).text


def test_a_dry_run_for_a_host_is_recorded_for_the_account_of_the_host(
    app: Flask, harness: Harness, acme: CompanyAccount
) -> None:
    ada = client_of(app, "operate")
    ada.post("/accounts/add", data={"name": "acme", "api_key": acme.key})
    harness.add_user(account="acme", external_id="4711", meetergo_user_id="nobody")
    assert ada.post("/reconcile/dry-run", data={"host": "4711"}).status_code == 200
    assert [act.account for act in harness.all(Intervention) if act.kind == "compared"] == ["acme"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"name": "acme", "api_key": "ak_live:nobody"}, "API key"),
        ({"name": "acme", "company_id": "another", "api_key": "its own"}, "not of another"),
        ({"name": "default"}, "account of the settings"),
        ({"name": "a/b"}, "letters, digits"),
        ({}, "letters, digits"),
    ],
)
def test_what_cannot_be_an_account_is_refused_with_a_sentence(
    app: Flask, harness: Harness, acme: CompanyAccount, values: dict[str, str], sentence: str
) -> None:
    if values.get("api_key") == "its own":
        values = values | {"api_key": acme.key}
    answer = client_of(app, "operate").post("/accounts/add", data=values)
    assert answer.status_code == 409
    assert sentence in answer.text
    assert values.get("api_key", acme.key) not in answer.text
    assert accounts(harness) == []


def test_without_keys_to_encrypt_it_an_api_key_is_not_stored(
    open_app: OpenApp, harness: Harness, acme: CompanyAccount
) -> None:
    ada = client_of(open_app(body_keys=""), "operate")
    answer = ada.post("/accounts/add", data={"name": "acme", "api_key": acme.key})
    assert (answer.status_code, "set BODY_KEYS" in answer.text) == (409, True)
    assert accounts(harness) == []


def test_an_account_is_disabled_and_enabled(app: Flask, client: Client, harness: Harness) -> None:
    ada = client("operate")
    ada.post("/accounts/add", data={"name": "acme"})
    assert "Disable" not in client("read").get("/accounts").text
    assert client("read").post("/accounts/acme/disable").status_code == 403
    assert accounts(harness)[0].is_active
    assert ada.post("/accounts/acme/disable").status_code == 303
    assert not accounts(harness)[0].is_active
    assert ">disabled<" in client("read").get("/accounts").text
    assert ada.post("/accounts/acme/enable").status_code == 303
    assert accounts(harness)[0].is_active
    assert ada.post("/accounts/nobody/disable").status_code == 409
    reasons = [act.reason for act in harness.all(Intervention)]
    assert reasons == ["account acme added", "account acme disabled", "account acme enabled"]
