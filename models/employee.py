"""Employees: whom meetergo said to have joined the company. The platform may add its user before or after that."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import String, exists, func, select
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from models.platform_user import PlatformUser
from runtime.bulk import insert_missing
from runtime.database import Model

LINKED_AT_ONCE = 100


class Employee(Model):
    """A user of meetergo with an e-mail address, as `new_employee` told. Told once, it is remembered for good."""

    __tablename__ = "meetergo_employees"

    email: Mapped[str] = mapped_column(String(320), primary_key=True)
    meetergo_user_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    created_at: Mapped[datetime]

    @classmethod
    def remember(cls, session: Session, meetergo_user_id: str, email: str, now: datetime) -> None:
        """Keeps it; what is known already stays as it is."""
        row = dict(email=normalized(email), meetergo_user_id=meetergo_user_id, created_at=now)
        insert_missing(session, cls, [row], "email", "meetergo_user_id")

    @classmethod
    def has_namesake(cls, session: Session, meetergo_user_id: str, email: str) -> bool:
        """Whether another employee has the same e-mail address, so that nobody knows who is meant."""
        others = exists().where(cls.email == normalized(email), cls.meetergo_user_id != meetergo_user_id)
        return bool(session.scalar(select(others)))

    @classmethod
    def awaited(cls, session: Session) -> Sequence[tuple[int, str]]:
        """Platform users who wait for a meetergo id, and the id of the only employee with their e-mail address."""
        namesake, rival, mapped = aliased(cls), aliased(PlatformUser), aliased(PlatformUser)
        query = (
            select(PlatformUser.id, cls.meetergo_user_id)
            .join(PlatformUser, func.lower(PlatformUser.email) == cls.email)
            .where(
                PlatformUser.meetergo_user_id.is_(None),
                ~exists().where(mapped.meetergo_user_id == cls.meetergo_user_id),
                ~exists().where(namesake.email == cls.email, namesake.meetergo_user_id != cls.meetergo_user_id),
                ~exists().where(
                    func.lower(rival.email) == cls.email,
                    rival.meetergo_user_id.is_(None),
                    rival.id != PlatformUser.id,
                ),
            )
            .order_by(PlatformUser.id)
            .limit(LINKED_AT_ONCE)
        )
        return [(user_id, meetergo_id) for user_id, meetergo_id in session.execute(query)]


def normalized(email: str) -> str:
    """The address as it is compared."""
    return email.strip().lower()[:320]
