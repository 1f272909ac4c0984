"""Accounts: the companies of meetergo that one installation serves, and the keys that keep their bookings apart.

The company of the settings is the account `default`; it has no row. The others are rows; see also `account_cache.py`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Boolean, Date, Integer, LargeBinary, Select, String, Text, literal, select, true
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from runtime.database import Model, TolerantJson
from runtime.encryption import BodyCipher, EncryptedBody
from runtime.env_file import ENV_FILE, UnusableFile, environment, read_secret
from runtime.errors import Permanent, Transient
from runtime.signed_address import ACCOUNT

DEFAULT = "default"
"""The account of the settings."""
IS_OTHER = "account <> 'default'"
"""SQL condition on a row: it belongs to an account that is a row. Partial indexes hold only those."""
KEY = re.compile(r"([A-Za-z0-9_-]{1,64}):")
MAX_KEY_LENGTH = 255
FROM_ENVIRONMENT, FROM_FILE = "env:", "file:"
UNREADABLE_CHANNELS = ("unreadable",)
"""Stands for channels that are not a list: no channel opens by this URL, so that the error is reported."""


class UnusableAccount(ValueError):
    """An account cannot be added or used as given; the message is a sentence that says why."""


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


def check_name(name: str, webhook_account: str) -> str:
    """Return the name of an account, if a row may have it.

    Args:
        name: 1 to 64 letters, digits, `-` or `_`.
        webhook_account: the name in the address of the account `default`, see WEBHOOK_ACCOUNT.

    Raises:
        UnusableAccount: it is malformed, or names the account of the settings.
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
    def list_query(cls) -> Select[Any]:
        """Select what a list shows: no API key, and no channel, whose URL may hold a secret."""
        key: tuple[Any, ...] = (cls.sealed_with, cls.api_key_from, cls.api_key_expires, cls.api_user)
        return select(cls.name, cls.company_id, *key, cls.is_active, cls.created_at)

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
