"""The work that all contestants do: `process`, for one delivery a job or for a batch. The only place that calls it."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from models.delivery import Delivery
from worker.services import services


def process_one(delivery_id: str) -> None:
    """One delivery in one transaction: the job of the peers."""
    with services().database.transaction() as session:
        delivery = session.get(Delivery, delivery_id, with_for_update=True)
        if delivery and delivery.status == "pending":
            services().inbox.process(session, delivery)


def process(session: Session, deliveries: Sequence[Delivery]) -> None:
    """In the caller's transaction: several with a statement for each table, as our own worker does."""
    services().inbox.process_all(session, deliveries)
