"""All tables, imported in one place for migrations and tests."""

from models.account import Account
from models.api_token import ApiToken
from models.attempt import FailedAttempt
from models.booking import Booking, BookingChange
from models.change_feed import ChangeFeed
from models.claim import Claim
from models.delivery import Delivery
from models.employee import Employee
from models.endpoint import Endpoint
from models.incident import Incident
from models.intervention import Intervention
from models.notification import Notification
from models.platform_user import PlatformUser
from models.reconciliation import ReconcileCursor, Reconciliation
from models.run import Run, RunRow

__all__ = [
    "Account",
    "ApiToken",
    "Booking",
    "BookingChange",
    "ChangeFeed",
    "Claim",
    "Delivery",
    "Employee",
    "Endpoint",
    "FailedAttempt",
    "Incident",
    "Intervention",
    "Notification",
    "PlatformUser",
    "ReconcileCursor",
    "Reconciliation",
    "Run",
    "RunRow",
]
