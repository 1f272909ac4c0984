"""The accounts that a process knows: the rows of the others beside `default`, cached."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Lock

import structlog
from sqlalchemy import select
from sqlalchemy.exc import DataError, SQLAlchemyError

from models.account import DEFAULT, Account, AccountConfig
from runtime.database import Database
from runtime.encryption import BodyCipher
from runtime.errors import Transient
from runtime.outage import Cooldown

CACHE_TIME = timedelta(seconds=5)
"""How long a change of an account may go unnoticed by another process."""
UNREADABLE = (DataError, ValueError, TypeError, OverflowError)
"""Errors that loading a hand-written row may raise, such as one with an impossible date."""

log = structlog.get_logger()


class AccountsUnknown(Transient):
    """The accounts cannot be read now, so that nothing is known of this one: try again later."""

    def __init__(self) -> None:
        super().__init__("the accounts cannot be read")


class Accounts:
    """All accounts of the installation. The rows are cached; the last known ones serve while the database is down.

    Args:
        database: holds the rows.
        cipher: decrypts their API keys.
        default: the account of the settings.
        webhook_account: its other name, which its address has; see WEBHOOK_ACCOUNT.
    """

    def __init__(self, database: Database, cipher: BodyCipher, default: AccountConfig, webhook_account: str) -> None:
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
