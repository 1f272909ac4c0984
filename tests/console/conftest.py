"""The desk of the back room serves here too; commands are called in this process."""

import logging
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from models import logs
from tests.worker.conftest import desk, open_desk

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
