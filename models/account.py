"""Accounts: the companies of meetergo that one installation serves, and the keys that keep their bookings apart.

The company of the settings is the account `default`; it has no row. The others are rows, which `Accounts` caches.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from sqlalchemy import Boolean, Date, Integer, LargeBinary, String, Text, literal, select, true
from sqlalchemy.exc import DataError, SQLAlchemyError
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from runtime.database import Database, Model, TolerantJson
from runtime.encryption import BodyCipher, EncryptedBody
from runtime.env_file import ENV_FILE, UnusableFile, environment, read_secret
from runtime.errors import Permanent, Transient
from runtime.outage import Cooldown
from runtime.signed_address import ACCOUNT

DEFAULT = "default"
"""The account of the settings."""
IS_OTHER = "account <> 'default'"
"""SQL condition on a row: it belongs to an account that is a row. Partial indexes hold only those."""
KEY = re.compile(r"([A-Za-z0-9_-]{1,64}):")
MAX_KEY_LENGTH = 255
CACHE_TIME = timedelta(seconds=5)
"""How long a change of an account may go unnoticed by another process."""
ACCOUNTS_UNKNOWN = "the accounts cannot be read"
FROM_ENVIRONMENT, FROM_FILE = "env:", "file:"
UNREADABLE_CHANNELS = ("unreadable",)
"""Stands for channels that are not a list: no channel opens by this URL, so that the error is reported."""

UNREADABLE = (DataError, ValueError, TypeError, OverflowError)
"""Errors that loading a hand-written row may raise, such as one with an impossible date."""

log = structlog.get_logger()


class UnusableAccount(ValueError):
    """An account cannot be added or used as given; the message is a sentence that says why."""


class AccountsUnknown(Transient):
    """The accounts cannot be read now, so that nothing is known of this one: try again later."""


def booking_key(account: str, meetergo_id: str) -> str:
    """Return the key of a booking: `bookings.id`. Different bookings have different keys, in all accounts.

    The key is meetergo's id in the account `default`, and `<account>:<id>` in any other.
    """
    if account == DEFAULT and not KEY.match(meetergo_id):
        return meetergo_id
    return f"{account}:{meetergo_id}"


def meetergo_id(account: str, key: str) -> str:
    """Return meetergo's id of a booking of this account; see `booking_key`."""
    return key.removeprefix(f"{account}:")


def account_of(key: str) -> str:
    """Return the account that a booking's key belongs to."""
    found = KEY.match(key)
    return found[1] if found else DEFAULT


def is_of(model: Any, account: str) -> tuple[ColumnElement[bool], ...]:
    """SQL conditions: rows of one account. Those of an account beside `default` have indexes of their own.

    SQLite uses a partial index only if the query has its condition in the same words.
    """
    is_own = model.account == account
    return (is_own,) if account == DEFAULT else (is_own, model.account != literal(DEFAULT, literal_execute=True))


def check_key(key: str) -> str:
    """Return the key of a booking, if it can be stored.

    Raises:
        Permanent: it is too long.
    """
    if len(key) > MAX_KEY_LENGTH:
        raise Permanent(f"the booking's id and the account's name are longer than {MAX_KEY_LENGTH} characters together")
    return key


def check_name(name: str, webhook_account: str = DEFAULT) -> str:
    """Return the name of an account, if a row may have it.

    Args:
        name: 1 to 64 letters, digits, `-` or `_`.
        webhook_account: the name in the address of the account `default`, see WEBHOOK_ACCOUNT.

    Raises:
        UnusableAccount: it is malformed, or it is that of the settings.
    """
    if not ACCOUNT.fullmatch(name):
        raise UnusableAccount("an account's name is 1 to 64 letters, digits, '-' or '_'")
    if name in (DEFAULT, webhook_account):
        raise UnusableAccount(f"{name} is the account of the settings (.env): take another name")
    return name


def _no_key() -> str:
    return ""


@dataclass(frozen=True)
class AccountConfig:
    """What a process needs to know of an account.

    Attributes:
        name: its name, as in the column `account`.
        company_id: the only company whose events are accepted; empty for any.
        read_api_key: reads the API key; see `api_key`.
        api_user: the user that a Platform key impersonates; empty for the key's owner.
        channels: URLs of the default channels; None for those of NOTIFY_DEFAULT. They may hold secrets.
        reconcile_days: how far ahead to look for changes; None for RECONCILE_DAYS.
        is_active: whether webhooks are accepted.
        api_key_expires: the last day of the API key, as far as known.
    """

    name: str
    company_id: str = ""
    read_api_key: Callable[[], str] = field(default=_no_key, repr=False, compare=False)
    api_user: str = ""
    channels: tuple[str, ...] | None = field(default=None, repr=False)
    reconcile_days: int | None = None
    is_active: bool = True
    api_key_expires: date | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is the account of the settings."""
        return self.name == DEFAULT

    def api_key(self) -> str:
        """Read the key of meetergo's API, from where it is kept. Never show or log it.

        Returns:
            The key; empty if the account has none.

        Raises:
            Transient: it cannot be read now, for a reason that an operator can fix.
        """
        return self.read_api_key()


class Account(Model):
    """An account beside `default`. `company_id` null means that the company of its events is not checked.

    The API key is either encrypted in `api_key` (`sealed_with` names the key of BODY_KEYS), or read when it is used
    from where `api_key_from` says: `env:NAME` or `file:/path`. `channels` null means NOTIFY_DEFAULT, `reconcile_days`
    null RECONCILE_DAYS. An account is disabled, not deleted: its bookings stay.
    """

    __tablename__ = "accounts"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    company_id: Mapped[str | None] = mapped_column(String(255))
    sealed_api_key: Mapped[bytes | None] = mapped_column("api_key", LargeBinary)
    sealed_with: Mapped[str | None] = mapped_column(String(12))
    api_key_from: Mapped[str | None] = mapped_column(Text)
    api_key_expires: Mapped[date | None] = mapped_column(Date)
    api_user: Mapped[str | None] = mapped_column(String(255))
    channels: Mapped[Any | None] = mapped_column(TolerantJson)
    reconcile_days: Mapped[int | None] = mapped_column(Integer)
    is_active: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def set_api_key(self, key: str, cipher: BodyCipher) -> None:
        """Store the API key, encrypted.

        Raises:
            UnusableAccount: there are no BODY_KEYS to encrypt it with.
        """
        if cipher.newest_key is None:
            raise UnusableAccount(
                "an API key is only stored encrypted: set BODY_KEYS, or name where the key is (env:NAME or file:/path)"
            )
        encrypted = cipher.encrypt(key.encode())
        self.sealed_api_key, self.sealed_with, self.api_key_from = encrypted.content, encrypted.key, None

    def set_api_key_source(self, source: str | None) -> None:
        """Store where the API key is read from, instead of the key; None for no key.

        Raises:
            UnusableAccount: the source is not `env:NAME` or `file:/path`.
        """
        if source is not None and not (
            re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", source) or re.fullmatch(r"file:/\S.*", source)
        ):
            raise UnusableAccount("an API key is read from env:NAME or file:/path")
        self.sealed_api_key, self.sealed_with, self.api_key_from = None, None, source

    @property
    def has_api_key(self) -> bool:
        """Whether there is a key, or a place to read it from."""
        return self.sealed_api_key is not None or self.api_key_from is not None

    def config(self, cipher: BodyCipher) -> AccountConfig:
        """Return the account as processes use it."""
        sealed = EncryptedBody(self.sealed_api_key, self.sealed_with) if self.sealed_api_key is not None else None
        source = self.api_key_from
        return AccountConfig(
            self.name,
            company_id=self.company_id or "",
            read_api_key=lambda: read_api_key(sealed, source, cipher),
            api_user=self.api_user or "",
            channels=None if self.channels is None else self._channels(),
            reconcile_days=self.reconcile_days,
            is_active=self.is_active,
            api_key_expires=self.api_key_expires,
        )

    def _channels(self) -> tuple[str, ...]:
        return tuple(map(str, self.channels)) if isinstance(self.channels, list) else UNREADABLE_CHANNELS

    @classmethod
    def is_any(cls, session: Session) -> bool:
        """Whether there is an account beside `default`."""
        return session.scalar(select(cls.name).limit(1)) is not None

    @classmethod
    def load_all(cls, session: Session) -> Sequence["Account"]:
        """Return all rows, by name."""
        return session.scalars(select(cls).order_by(cls.name)).all()


def read_api_key(sealed: EncryptedBody | None, source: str | None, cipher: BodyCipher) -> str:
    """Read an API key from its encrypted form or from where it is kept; empty if there is none.

    Raises:
        Transient: it cannot be read.
    """
    if sealed is not None:
        return cipher.decrypt(sealed).decode()
    if source is None:
        return ""
    try:
        if source.startswith(FROM_FILE):
            return read_secret(Path(source.removeprefix(FROM_FILE))).strip()
        name = source.removeprefix(FROM_ENVIRONMENT)
        key = environment(ENV_FILE).get(name, "").strip()
    except UnusableFile as error:
        raise Transient(f"the API key cannot be read: {error}") from None
    if not key:
        raise Transient(f"the API key cannot be read: {name} is not set")
    return key


class Accounts:
    """All accounts of the installation. The rows are cached; the last known ones serve while the database is down.

    Args:
        database: holds the rows.
        cipher: decrypts their API keys.
        default: the account of the settings.
        webhook_account: its other name, which its address has; see WEBHOOK_ACCOUNT.
    """

    def __init__(
        self, database: Database, cipher: BodyCipher, default: AccountConfig, webhook_account: str = DEFAULT
    ) -> None:
        self.default = default
        self._database = database
        self._cipher = cipher
        self._names_of_default = frozenset({DEFAULT, webhook_account})
        self._others: Mapping[str, AccountConfig] = {}
        self._unreadable: set[str] = set()
        self._lock = Lock()
        self._read_at = float("-inf")
        self._cooldown = Cooldown(CACHE_TIME)
        self._is_current = False

    def get(self, name: str) -> AccountConfig | None:
        """Return an account by its name, active or not; None if there is none, or if it is not known yet."""
        if name in self._names_of_default:
            return self.default
        return self._known(CACHE_TIME).get(name) or self._known(timedelta(0)).get(name)

    def all(self) -> Sequence[AccountConfig]:
        """Return the account `default`, then the others by name."""
        return [self.default, *self._known(CACHE_TIME).values()]

    def others(self) -> Sequence[str]:
        """Return the names of all accounts but `default`."""
        return [*self._known(CACHE_TIME)]

    @property
    def is_current(self) -> bool:
        """Whether the database answered the last time that it was asked."""
        return self._is_current

    def accepts(self, name: str) -> bool:
        """Whether webhooks for an account are accepted.

        One that is unknown while the database does not answer is: the worker decides, once it does.
        """
        config = self.get(name)
        return config.is_active if config else not self._is_current

    def is_fresh(self, name: str) -> bool:
        """Whether `accepts` would answer at once, since the account was read not long ago."""
        return name in self._others and time.monotonic() < self._read_at + CACHE_TIME.total_seconds()

    def accepts_as_last_known(self, name: str) -> bool:
        """The same as `accepts`, without asking the database."""
        config = self._others.get(name)
        return config.is_active if config else True

    def _known(self, max_age: timedelta) -> Mapping[str, AccountConfig]:
        """Return the rows as they were at most `max_age` ago, or as last known if another thread is reading them.

        A caller that needs the newest rows waits for that thread: a webhook of a new account must not be refused.
        """
        must_wait = self._read_at == float("-inf") or not max_age
        if self._is_due(max_age) and self._lock.acquire(blocking=must_wait):
            try:
                if self._is_due(max_age):  # else another thread has read them meanwhile
                    self._read()
            finally:
                self._lock.release()
        return self._others

    def _is_due(self, max_age: timedelta) -> bool:
        return time.monotonic() >= max(self._read_at + max_age.total_seconds(), self._cooldown.until)

    def _read(self) -> None:
        try:
            self._others, is_complete = self._load()
        except SQLAlchemyError:
            self._is_current = False
            self._cooldown.start()
        else:
            self._is_current, self._read_at = is_complete, time.monotonic()

    def _load(self) -> tuple[Mapping[str, AccountConfig], bool]:
        """Return the accounts, and whether all rows were read. One that cannot be read must not hide the others.

        Raises:
            SQLAlchemyError: the database is down.
        """
        with self._database.read_only() as session:
            try:
                return {row.name: row.config(self._cipher) for row in Account.load_all(session)}, True
            except UNREADABLE:
                pass
        with self._database.read_only() as session:
            names = session.scalars(select(Account.name).order_by(Account.name)).all()
        found = {name: config for name in names if (config := self._load_one(name) or self._others.get(name))}
        return found, len(found) == len(names)

    def _load_one(self, name: str) -> AccountConfig | None:
        try:
            with self._database.read_only() as session:
                return session.get_one(Account, name).config(self._cipher)
        except UNREADABLE as error:
            if name not in self._unreadable:
                log.error("account.unreadable", account=name, error=type(error).__name__)
            self._unreadable.add(name)
            return None
