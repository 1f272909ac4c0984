"""Accounts: add, change, disable and list the companies of meetergo that this installation serves."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy.orm import Session

from meetergo.api.credential import Credential, UnusableKey
from models.account import DEFAULT, Account, AccountConfig, UnusableAccount, check_name
from models.intervention import Intervention
from operations.errors import OperationError
from runtime.encryption import BodyCipher
from worker.accounts import values_of
from worker.settings import WorkerSettings

MAX_ID_LENGTH = 255


@dataclass(frozen=True)
class AccountValues:
    """The values of an account as an operator gives them; None keeps the stored value, an empty one clears it.

    Attributes:
        company_id: meetergo's id of the company, to accept no other's events.
        api_key: the API key, to be stored encrypted.
        api_key_from: where the key is read from instead: `env:NAME` or `file:/path`.
        api_key_expires: the last day of the key.
        clear_api_key_expires: whether to forget that day.
        api_user: the user that a Platform key acts as.
        channels: URLs of the default channels.
        reconcile_days: how far ahead to look for changes; 0 for RECONCILE_DAYS.
    """

    company_id: str | None = None
    api_key: str | None = field(default=None, repr=False)
    api_key_from: str | None = None
    api_key_expires: date | None = None
    clear_api_key_expires: bool = False
    api_user: str | None = None
    channels: Sequence[str] | None = field(default=None, repr=False)
    reconcile_days: int | None = None

    def write_to(self, row: Account, cipher: BodyCipher) -> Sequence[str]:
        """Write the given values to a row; return the names of what was given, for the audit trail.

        Raises:
            OperationError: a value cannot be used.
        """
        self._check()
        if self.api_key and self.api_key_from:
            raise OperationError("give the API key, or say where it is read from, not both")
        try:
            if self.api_key:
                row.set_api_key(self.api_key, cipher)
            elif self.api_key_from is not None or self.api_key is not None:
                row.set_api_key_source(self.api_key_from or None)
        except UnusableAccount as error:
            raise OperationError(str(error)) from None
        if self.api_key is not None or self.api_key_from is not None or self.clear_api_key_expires:
            row.api_key_expires = None  # that of the key before
        for name in ("company_id", "api_key_expires", "api_user", "channels", "reconcile_days"):
            value: Any = getattr(self, name)
            if value is not None:
                setattr(row, name, (list(value) if name == "channels" else value) or None)
        return [name for name, value in vars(self).items() if value is not None and value is not False]

    def _check(self) -> None:
        for name in ("company_id", "api_user"):
            text = getattr(self, name) or ""
            if len(text) > MAX_ID_LENGTH or not text.isprintable():
                raise OperationError(f"{name} is too long, or holds a control character")
        if self.api_key:
            try:
                Credential.read(self.api_key)
            except UnusableKey as error:
                raise OperationError(str(error)) from None


def add_account(
    session: Session, name: str, values: AccountValues, cipher: BodyCipher, webhook_account: str, now: datetime, by: str
) -> Account:
    """Add an account, and record who did it.

    Args:
        session: session of the transaction.
        name: its name, which its address and the keys of its bookings contain.
        values: its values.
        cipher: encrypts the API key.
        webhook_account: the name that the address of `default` has, see WEBHOOK_ACCOUNT.
        now: the time, UTC.
        by: name of the operator.

    Raises:
        OperationError: there is an account of this name or company, or a value cannot be used.
    """
    try:
        check_name(name, webhook_account)
    except UnusableAccount as error:
        raise OperationError(str(error)) from None
    if session.get(Account, name):
        raise OperationError(f"there is an account {name} already: `accounts set {name}` changes it")
    row = Account(name=name, is_active=True, created_at=now, updated_at=now)
    values.write_to(row, cipher)
    _check_company(session, row)
    session.add(row)
    _record(session, f"account {name} added", name, now, by)
    return row


def change_account(
    session: Session, name: str, values: AccountValues, cipher: BodyCipher, now: datetime, by: str
) -> Account:
    """Change an account, and record who did it; see `add_account`. Other processes notice within seconds.

    Raises:
        OperationError: there is no such account, or a value cannot be used.
    """
    row = _row(session, name, locked=True)
    given = values.write_to(row, cipher)
    _check_company(session, row)
    row.updated_at = now
    _record(session, f"account {name} changed: {', '.join(given)}", name, now, by)
    return row


def enable_account(session: Session, name: str, now: datetime, by: str, *, is_active: bool) -> bool:
    """Enable or disable an account, and record who did it. Its bookings stay.

    Returns:
        Whether that changed anything.

    Raises:
        OperationError: there is no such account.
    """
    row = _row(session, name, locked=True)
    if row.is_active == is_active:
        return False
    row.is_active, row.updated_at = is_active, now
    _record(session, f"account {name} {'enabled' if is_active else 'disabled'}", name, now, by)
    return True


def check_account(session: Session, name: str) -> str:
    """Return the name of an account that exists.

    Raises:
        OperationError: it does not.
    """
    if name != DEFAULT:
        _row(session, name)
    return name


def find_account(session: Session, name: str, cipher: BodyCipher) -> AccountConfig:
    """Return an account other than `default`.

    Raises:
        OperationError: there is none.
    """
    return _row(session, name).config(cipher)


def api_values(config: AccountConfig) -> dict[str, Any]:
    """Return the values of the settings with which meetergo is called for an account; see `values_of`.

    Raises:
        OperationError: its API key cannot be read, or it has none.
    """
    try:
        values = values_of(config)
    except UnusableAccount as error:
        raise OperationError(f"account {config.name}: {error}") from None
    if not values["meetergo_api_key"]:
        raise OperationError(
            f"the account {config.name} has no API key: bin/inbox accounts set {config.name} --api-key"
        )
    return values


def with_company(values: AccountValues, company_id: str | None) -> AccountValues:
    """Return values with the company that meetergo names for the key.

    Raises:
        OperationError: the operator named another one.
    """
    if values.company_id and company_id and values.company_id != company_id:
        raise OperationError(f"the API key is that of the company {company_id}, not of {values.company_id}")
    return replace(values, company_id=values.company_id or company_id)


def check_channels(urls: Iterable[str], settings: WorkerSettings) -> None:
    """Open each channel once.

    Raises:
        OperationError: one cannot be used; no secret is quoted.
    """
    from worker.channels import UnusableChannel, open_channel  # late: `status` opens no channel

    for url in urls:
        try:
            open_channel(url, settings)
        except UnusableChannel as error:
            raise OperationError(f"channel: {error}") from None


def _check_company(session: Session, row: Account) -> None:
    for other in Account.load_all(session):
        if row.company_id and other.company_id == row.company_id and other.name != row.name:
            raise OperationError(f"the account {other.name} is that company already")


def _row(session: Session, name: str, *, locked: bool = False) -> Account:
    row = session.get(Account, name, with_for_update=locked)
    if row is not None:
        return row
    if name == DEFAULT:
        raise OperationError("the account default is that of the settings: change those (.env)")
    raise OperationError(f"there is no account '{name}': `accounts list` shows all")


def _record(session: Session, reason: str, account: str, now: datetime, by: str) -> None:
    Intervention.record_act(session, "configured", now, by=by, reason=reason, account=account)
