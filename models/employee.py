"""Employees: users who joined a company according to meetergo. The platform may add its user before or after."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, case, delete, exists, func, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column
from sqlalchemy.sql.elements import ColumnElement

from models.account import DEFAULT, booking_key, meetergo_id
from models.platform_user import LINK_BATCH_SIZE, PlatformUser
from runtime.bulk import insert_missing
from runtime.database import Model


class Employee(Model):
    """A meetergo user with an e-mail address, from a `new_employee` event. Rows stay until an operator forgets them.

    `meetergo_user_id` holds a key made as that of a booking, so that two accounts may have a user of the same id.
    """

    __tablename__ = "meetergo_employees"

    email: Mapped[str] = mapped_column(String(320), primary_key=True)
    meetergo_user_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    created_at: Mapped[datetime]

    @classmethod
    def insert_new(cls, session: Session, meetergo_user_id: str, email: str, now: datetime, account: str) -> None:
        """Insert an employee of an account; an existing row stays unchanged."""
        key = booking_key(account, meetergo_user_id)
        row = dict(email=normalize_email(email), meetergo_user_id=key, account=account, created_at=now)
        insert_missing(session, cls, [row], "email", "meetergo_user_id")

    @classmethod
    def is_email_shared(cls, session: Session, meetergo_user_id: str, email: str, account: str) -> bool:
        """Whether another employee of the account has the same e-mail address, which makes it ambiguous."""
        same_email_employees = exists().where(
            cls.email == normalize_email(email),
            cls.account == account,
            cls.meetergo_user_id != booking_key(account, meetergo_user_id),
        )
        return bool(session.scalar(select(same_email_employees)))

    @classmethod
    def is_known(cls, session: Session, email: str, account: str) -> bool:
        """Whether meetergo has reported an employee of the account with this e-mail address."""
        has_email = exists().where(cls.email == normalize_email(email), cls.account == account)
        return bool(session.scalar(select(has_email)))

    @classmethod
    def forget(cls, session: Session, meetergo_user_id: str, account: str) -> None:
        """Delete what is known of an employee of an account."""
        session.execute(delete(cls).where(cls.meetergo_user_id == booking_key(account, meetergo_user_id)))

    @classmethod
    def linkable_users(cls, session: Session) -> Sequence[tuple[int, str]]:
        """Return platform users without a meetergo id, with the id of the only employee with their e-mail address."""
        same_email, other_user, mapped_user = aliased(cls), aliased(PlatformUser), aliased(PlatformUser)
        query = (
            select(PlatformUser.id, cls.account, cls.meetergo_user_id)
            .join(PlatformUser, func.lower(PlatformUser.email) == cls.email)
            .where(
                PlatformUser.meetergo_user_id.is_(None),
                PlatformUser.account == cls.account,
                ~exists().where(
                    mapped_user.meetergo_user_id == cls._id_at_meetergo(), mapped_user.account == cls.account
                ),
                ~exists().where(
                    same_email.email == cls.email,
                    same_email.account == cls.account,
                    same_email.meetergo_user_id != cls.meetergo_user_id,
                ),
                ~exists().where(
                    func.lower(other_user.email) == cls.email,
                    other_user.account == cls.account,
                    other_user.meetergo_user_id.is_(None),
                    other_user.id != PlatformUser.id,
                ),
            )
            .order_by(PlatformUser.id)
            .limit(LINK_BATCH_SIZE)
        )
        return [(user_id, meetergo_id(account, key)) for user_id, account, key in session.execute(query)]

    @classmethod
    def _id_at_meetergo(cls) -> ColumnElement[str]:
        """SQL expression of what `models.account.meetergo_id` returns for the key."""
        prefix, key = cls.account + ":", cls.meetergo_user_id
        has_prefix = func.substr(key, 1, func.length(prefix)) == prefix
        return case((has_prefix, func.substr(key, func.length(prefix) + 1)), else_=key)


def normalize_email(email: str) -> str:
    """Normalize an address for comparison."""
    return email.strip().lower()[:320]
