"""The desk of the back room serves here too, with something on it."""

from collections.abc import Callable

import pytest

from console import samples
from tests.console.keyboard import BROKEN
from tests.worker.conftest import desk, open_desk
from tests.worker.desk import AT, START, Desk, later

__all__ = ["desk", "open_desk"]


@pytest.fixture
def busy(open_desk: Callable[..., Desk]) -> Desk:
    """A booking that was made, moved and cancelled; one that nobody hosts; a dead delivery; a channel that fails."""
    desk = open_desk(notify_default="log:,http://127.0.0.1:1/hook", notify_signing_secret="whsec_" + "b2xk" * 8)
    desk.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    link = {"meetingInfo": {"channel": "zoom", "meetingLink": "https://zoom.example/j/1?pwd=a-zoom-password"}}
    desk.tell(samples.created("b1", START, AT, **link))
    desk.tell(samples.rescheduled("b1", later(100), later(1), START, **link))
    desk.tell(samples.cancelled("b1", later(100), later(2)))
    desk.tell(samples.created("unhosted-1", later(50), AT, hosts=[], hostIds=["nobody"]))
    desk.tell(BROKEN, b'{"webhookType": "form_submission", "data": {"nested": [{"Token": "one-time-token"}]}}')
    desk.send_all()
    return desk
