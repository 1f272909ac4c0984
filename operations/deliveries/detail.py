"""The details of one delivery, for display."""

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from models.attempt import FailedAttempt
from models.booking import BookingChange
from models.delivery import Delivery
from models.intervention import Intervention
from models.notification import Notification
from operations import serialize
from operations.redact import decrypted_body
from runtime.encryption import BodyCipher


def collect(session: Session, delivery: Delivery, cipher: BodyCipher) -> serialize.Json:
    """Collect everything stored about a delivery."""
    return {
        **serialize.delivery_to_json(delivery),
        **decrypted_body(delivery, cipher),
        **attempts(session, delivery),
        "changes": _select_all(session, BookingChange, serialize.change_to_json, BookingChange.caused_by(delivery)),
        "notifications": _select_all(
            session, Notification, serialize.notification_to_json, Notification.caused_by(delivery)
        ),
    }


def attempts(session: Session, row: Delivery | Notification) -> serialize.Json:
    """Return the failed attempts of a row, and the operators' interventions on it."""
    key = "delivery_id" if isinstance(row, Delivery) else "notification_id"
    of_attempt, of_act = (getattr(model, key) == row.id for model in (FailedAttempt, Intervention))
    return {
        "failed_attempts": _select_all(session, FailedAttempt, serialize.attempt_to_json, of_attempt),
        "interventions": _select_all(session, Intervention, serialize.intervention_to_json, of_act),
    }


def _select_all(session: Session, model: Any, to_json: Any, condition: ColumnElement[bool]) -> list[serialize.Json]:
    return [to_json(row) for row in session.scalars(select(model).where(condition).order_by(model.id))]
