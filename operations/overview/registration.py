"""Our webhook registrations as stored in the database; meetergo is not called."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from models.endpoint import Endpoint
from runtime.queue import JobQueue
from runtime.signed_address import AddressSigner


@dataclass(frozen=True)
class StoredRegistration:
    """The webhook of one of our addresses.

    Attributes:
        fingerprint: identifies the address.
        is_newest: whether it is signed with the newest key.
        registered_at: when it was registered, UTC; None if `webhook register` did not register it.
        last_delivery_at: when a delivery last used it, UTC; None if none did recently, or if Redis does not answer.
    """

    fingerprint: str
    is_newest: bool
    registered_at: datetime | None
    last_delivery_at: datetime | None


def stored_registrations(
    session: Session, job_queue: JobQueue, keys: Sequence[str], account: str
) -> list[StoredRegistration]:
    """Return our addresses, newest first."""
    fingerprints = AddressSigner(keys).fingerprints(account)
    known = Endpoint.by_fingerprint(session, fingerprints)
    return [
        StoredRegistration(
            each,
            each == fingerprints[-1],
            known[each].registered_at if each in known else None,
            job_queue.last_seen(each),
        )
        for each in reversed(fingerprints)
    ]
