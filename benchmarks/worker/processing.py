"""The work of all setups: `process`, for one delivery per job or for a batch. The only place that calls it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from models.delivery import Delivery, DueRow
from worker.services import services


def process_one(delivery_id: str) -> None:
    """Process one delivery in one transaction: the job of the other systems."""
    with services().database.transaction() as session:
        delivery = session.get(Delivery, delivery_id, with_for_update=True)
        if delivery and delivery.status == "pending":
            services().inbox.process(session, delivery)


def process(session: Session, claimed: Sequence[DueRow]) -> None:
    """Process several in the caller's transaction, one statement per table, as our own worker does."""
    services().inbox.process_all(session, claimed, "new", {})
