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
        **attempts(session, FailedAttempt.delivery_id == delivery.id, Intervention.delivery_id == delivery.id),
        "changes": _select_all(session, BookingChange, serialize.change_to_json, BookingChange.caused_by(delivery)),
        "notifications": _select_all(
            session, Notification, serialize.notification_to_json, Notification.caused_by(delivery)
        ),
    }


def attempts(
    session: Session, attempt_filter: ColumnElement[bool], intervention_filter: ColumnElement[bool]
) -> serialize.Json:
    """Return the failed attempts and the operators' interventions."""
    return {
        "failed_attempts": _select_all(session, FailedAttempt, serialize.attempt_to_json, attempt_filter),
        "interventions": _select_all(session, Intervention, serialize.intervention_to_json, intervention_filter),
    }


def _select_all(session: Session, model: Any, to_json: Any, condition: ColumnElement[bool]) -> list[serialize.Json]:
    return [to_json(row) for row in session.scalars(select(model).where(condition).order_by(model.id))]
