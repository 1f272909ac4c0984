"""Accounts: the companies of meetergo that the installation serves; never their API keys."""

from flask import Response

from dashboard import keyset
from dashboard.access import ScreenBlueprint, operator
from dashboard.filters import text_of
from dashboard.i18n import N_
from dashboard.pages import render, see_other
from dashboard.provider import CLIENT, api_errors, api_settings
from dashboard.stores import current
from dashboard.times import now
from models.account import Account
from operations.accounts import AccountValues, add_account, api_values, enable_account, with_company

screen = ScreenBlueprint("accounts", N_("Accounts"))


@screen.page("/accounts")
def list_all() -> Response:
    """List all accounts, and the form that adds one."""
    with current().database.read_only() as session:
        page = keyset.fetch(session, Account.list_query(), Account.name, descending=False)
    return render("accounts/list.html", page=page)


@screen.act("/accounts/add", role="operate")
def add() -> Response:
    """Add an account. meetergo is asked whose API key it is, unless none is given."""
    dashboard, name = current(), text_of("name") or ""
    company_id, api_key, api_user = (text_of(each) for each in ("company_id", "api_key", "api_user"))
    values = AccountValues(company_id=company_id, api_key=api_key, api_user=api_user)
    cipher = dashboard.services.inbox.cipher
    if values.api_key:
        values = with_company(values, _company_of_key(name, values))
    with dashboard.database.transaction() as session:
        add_account(session, name, values, cipher, dashboard.settings.webhook_account, now(), operator().name)
    return see_other("accounts.list_all")


@screen.act("/accounts/<id:name>/disable", role="operate")
def disable(name: str) -> Response:
    """Disable an account: its webhooks are refused, and it is not reconciled."""
    return _enable(name, is_active=False)


@screen.act("/accounts/<id:name>/enable", role="operate")
def enable(name: str) -> Response:
    """Enable a disabled account."""
    return _enable(name, is_active=True)


def _enable(name: str, *, is_active: bool) -> Response:
    with current().database.transaction() as session:
        enable_account(session, name, now(), operator().name, is_active=is_active)
    return see_other("accounts.list_all")


def _company_of_key(name: str, values: AccountValues) -> str | None:
    """Return the company that meetergo names for an API key.

    Raises:
        OperationError: the key cannot be stored, or meetergo refuses it.
    """
    services, account = current().services, Account(name=name)
    values.write_to(account, services.inbox.cipher)
    settings = api_settings().model_copy(update=api_values(account.config(services.inbox.cipher)))
    with api_errors(name), settings.api_client(services.job_queue.redis, **CLIENT) as client:
        return client.users.me().company_id
