"""Employees: users who joined the company according to meetergo. The platform may add its user before or after."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, delete, exists, func, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from models.account import DEFAULT
from models.platform_user import PlatformUser
from runtime.bulk import insert_missing
from runtime.database import Model

LINK_BATCH_SIZE = 100


class Employee(Model):
    """A meetergo user with an e-mail address, from a `new_employee` event. Rows stay until an operator forgets them."""

    __tablename__ = "meetergo_employees"

    email: Mapped[str] = mapped_column(String(320), primary_key=True)
    meetergo_user_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    account: Mapped[str] = mapped_column(String(64), default=DEFAULT, server_default=DEFAULT)
    created_at: Mapped[datetime]

    @classmethod
    def insert_new(cls, session: Session, meetergo_user_id: str, email: str, now: datetime) -> None:
        """Insert an employee; an existing row stays unchanged."""
        row = dict(email=normalize_email(email), meetergo_user_id=meetergo_user_id, created_at=now)
        insert_missing(session, cls, [row], "email", "meetergo_user_id")

    @classmethod
    def is_email_shared(cls, session: Session, meetergo_user_id: str, email: str) -> bool:
        """Whether another employee has the same e-mail address, which makes it ambiguous."""
        same_email_employees = exists().where(
            cls.email == normalize_email(email), cls.meetergo_user_id != meetergo_user_id
        )
        return bool(session.scalar(select(same_email_employees)))

    @classmethod
    def forget(cls, session: Session, meetergo_user_id: str) -> None:
        """Delete what is known of an employee."""
        session.execute(delete(cls).where(cls.meetergo_user_id == meetergo_user_id))

    @classmethod
    def linkable_users(cls, session: Session) -> Sequence[tuple[int, str]]:
        """Return platform users without a meetergo id, with the id of the only employee with their e-mail address."""
        same_email, other_user, mapped_user = aliased(cls), aliased(PlatformUser), aliased(PlatformUser)
        query = (
            select(PlatformUser.id, cls.meetergo_user_id)
            .join(PlatformUser, func.lower(PlatformUser.email) == cls.email)
            .where(
                PlatformUser.meetergo_user_id.is_(None),
                ~exists().where(mapped_user.meetergo_user_id == cls.meetergo_user_id),
                ~exists().where(same_email.email == cls.email, same_email.meetergo_user_id != cls.meetergo_user_id),
                ~exists().where(
                    func.lower(other_user.email) == cls.email,
                    other_user.meetergo_user_id.is_(None),
                    other_user.id != PlatformUser.id,
                ),
            )
            .order_by(PlatformUser.id)
            .limit(LINK_BATCH_SIZE)
        )
        return [(user_id, meetergo_id) for user_id, meetergo_id in session.execute(query)]


def normalize_email(email: str) -> str:
    """Normalize an address for comparison."""
    return email.strip().lower()[:320]
