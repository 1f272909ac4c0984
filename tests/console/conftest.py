"""The desk of the back room serves here too, with something on it; commands are called in this process."""

import logging
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from console import samples
from models import logs
from tests.console.keyboard import BROKEN
from tests.worker.conftest import desk, open_desk
from tests.worker.desk import AT, START, Desk, later

__all__ = ["desk", "open_desk"]

Type = Callable[..., Result]


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Type]:
    """Types a command and answers to its question; the logs of this process stay as they are."""
    monkeypatch.setattr(logs, "configure", lambda: None)
    monkeypatch.setenv("LOGNAME", "the-operator")
    level = logging.root.level
    yield lambda command, *words, answers=None: CliRunner().invoke(command, words, input=answers)
    logging.root.setLevel(level)


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
