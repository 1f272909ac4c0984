"""The sweep: makes true what a lost bell, a lost Redis or a killed worker left undone."""

from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from sqlalchemy import exists, select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from models.delivery import Delivery
from models.employee import Employee
from models.notification import Notification
from models.platform_user import PlatformUser
from models.retryable import Retryable
from runtime.contention import in_transaction
from runtime.errors import describe
from runtime.queue import QueueName
from worker.inbox.context import HandlerContext
from worker.recovery import recover_left_over
from worker.services import Services

OVERDUE_AFTER = timedelta(seconds=10)
BOXES: dict[QueueName, type[Retryable]] = {"inbox": Delivery, "outbox": Notification}

log = structlog.get_logger()


def sweep(office: Services, now: datetime) -> None:
    """Takes up what killed workers held, rings for what is overdue, links bookings to users whose mapping is new."""
    for box in BOXES:
        office.bell.revive(box)
    office.bell.drop_gone()
    recover_left_over(office.database, office.bell, now)
    _pull_in(office, now)
    for box, rows in BOXES.items():
        with office.database.reading() as session:
            is_overdue = session.scalar(select(exists().where(rows.is_overdue(now, OVERDUE_AFTER))))
        if is_overdue:
            log.info("sweep.overdue", box=box)
            office.bell.ring_again(box)
    end_superseded(office, now)
    link_new_users(office, now)


def _pull_in(office: Services, now: datetime) -> None:
    """A clock that was a day ahead for a moment keeps no row waiting for a day."""
    for box, rows in BOXES.items():
        with office.database.transaction() as session:
            pulled = rows.pull_in(session, now)
        if pulled:
            log.warning("sweep.pulled_in", box=box, rows=pulled)


def end_superseded(office: Services, now: datetime) -> None:
    """Ends news that has waited for long and says less than what waits behind it."""
    with office.database.reading() as session:
        ids = Notification.superseded(session, now)
    if ids:
        with office.database.transaction() as session:
            Notification.end_superseded(session, ids, now)
        log.info("notification.superseded", number=len(ids))


def link_new_users(office: Services, now: datetime) -> int:
    """Gives their meetergo id to users who wait for one that was told, and their owner to bookings that waited for it.

    Each user in a transaction of their own: one that cannot be linked is named in the log, and keeps no other waiting.

    Returns:
        How many notifications that owes.
    """
    with office.database.reading() as session:
        awaited = Employee.awaited(session)
    for user_id, meetergo_user_id in awaited:
        _map(office, user_id, meetergo_user_id)
    with office.database.reading() as session:
        new = PlatformUser.newly_mapped(session)
    owed = sum(_link(office, user_id, now) for user_id in new)
    if owed:
        office.bell.ring("outbox")
    return owed


def _map(office: Services, user_id: int, meetergo_user_id: str) -> None:
    with suppress(IntegrityError), office.database.transaction() as session:  # somebody else may have it by now
        user = session.get(PlatformUser, user_id, with_for_update=True)
        if user and user.meetergo_user_id is None:
            user.meetergo_user_id = meetergo_user_id


def _link(office: Services, user_id: int, now: datetime) -> int:
    """The user is locked so that bookings which refer to it can be written meanwhile."""

    def link(session: Session) -> int:
        user = session.get(PlatformUser, user_id, with_for_update={"key_share": True})
        if user is None:
            return 0
        owed = office.recorder.record_each(session, HandlerContext(session, now).link_waiting_bookings(user))
        user.linked_as = user.mapping
        return owed

    try:
        return in_transaction(office.database, link)
    except OperationalError:
        raise
    except Exception as error:
        log.error("link.skipped", platform_user_id=user_id, error=describe(error))
        with office.database.transaction() as session:
            PlatformUser.give_up_linking(session, user_id)
        return 0
