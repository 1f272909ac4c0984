"""The sweep: makes true what a lost bell, a lost Redis or a killed worker left undone."""

from datetime import datetime, timedelta

import structlog
from sqlalchemy import exists, select

from models.delivery import Delivery
from models.notification import Notification
from models.platform_user import PlatformUser
from models.queue import Box
from models.todo import Todo
from worker.ledger import Ledger
from worker.office import Office
from worker.recovery import recover_left_over

OVERDUE_AFTER = timedelta(seconds=10)
BOXES: dict[Box, type[Todo]] = {"inbox": Delivery, "outbox": Notification}

log = structlog.get_logger()


def sweep(office: Office, now: datetime) -> None:
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
    link_new_users(office, now)


def _pull_in(office: Office, now: datetime) -> None:
    """A clock that was a day ahead for a moment keeps no row waiting for a day."""
    for box, rows in BOXES.items():
        with office.database.transaction() as session:
            pulled = rows.pull_in(session, now)
        if pulled:
            log.warning("sweep.pulled_in", box=box, rows=pulled)


def link_new_users(office: Office, now: datetime) -> int:
    """Gives their owner to bookings that waited for a platform user.

    Returns:
        How many notifications that owes.
    """
    with office.database.reading() as session:
        if not PlatformUser.newly_mapped(session):
            return 0
    with office.database.transaction() as session:
        ledger = Ledger(session, now)
        users = PlatformUser.newly_mapped(session, locked=True)
        changes = (change for user in users for change in ledger.link_waiting_bookings(user))
        owed = office.recorder.record(session, changes)
    if owed:
        office.bell.ring("outbox")
    return owed
