"""Fixtures of the command line: a harness with data, and an operator whose provider is the sandbox."""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis
from sqlalchemy import select

from console.__main__ import cli
from console.app import RootGroup
from devtools.sandbox.server import Sandbox, sandbox
from devtools.send import samples
from models.account import DEFAULT
from models.endpoint import Endpoint
from models.platform_user import PlatformUser
from operations import consistency
from runtime import logs
from runtime.database import Database
from runtime.signed_address import AddressSigner
from tests.console.cli import BROKEN
from tests.worker.conftest import harness, open_harness, provider, three_hosts
from tests.worker.harness import AT, START, Harness, later, soon

__all__ = ["harness", "open_harness", "provider", "three_hosts"]

Invoke = Callable[..., Result]


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Iterator[Invoke]:
    """Run a command and answer its prompts; this process's logs stay configured."""
    monkeypatch.setattr(logs, "configure", lambda: None)
    monkeypatch.setattr(logs, "silence", lambda: None)
    monkeypatch.setenv("LOGNAME", "the-operator")
    level = logging.root.level
    yield lambda command, *words, answers=None: CliRunner().invoke(
        RootGroup("inbox", commands=[command]), [command.name, *words], input=answers
    )
    logging.root.setLevel(level)


@pytest.fixture
def sample_data(open_harness: Callable[..., Harness]) -> Harness:
    """A booking that was created, moved and cancelled; one without a host; a dead delivery; a failing channel."""
    harness = open_harness(notify_default="log:,http://127.0.0.1:1/hook", notify_signing_secret="whsec_" + "b2xk" * 8)
    harness.add_user(external_id="4711", meetergo_user_id=samples.HOST_ID)
    link = {"meetingInfo": {"channel": "zoom", "meetingLink": "https://zoom.example/j/1?pwd=a-zoom-password"}}
    harness.process(samples.created("b1", START, AT, **link))
    harness.process(samples.rescheduled("b1", soon(100), later(1), START, **link))
    for body in (
        samples.cancelled("b1", soon(100), later(2)),
        samples.created("unhosted-1", soon(50), AT, hosts=[], hostIds=["nobody"], **link),
        BROKEN,
        b'{"webhookType": "form_submission", "data": {"nested": [{"Token": "one-time-token"}]}}',
    ):
        harness.deliver(body)  # each at a time of its own
    harness.process_due()
    harness.send_all()
    return harness


OLD_KEY, NEW_KEY = "o" * 32, "n" * 32
PUBLIC_URL = "http://127.0.0.1:8765"


class Operator:
    """Runs commands and inspects the result.

    Attributes:
        settings: the environment.
        meetergo: the stand-in.
    """

    def __init__(self, settings: dict[str, str], meetergo: Sandbox, database: Database) -> None:
        self.settings = settings
        self.meetergo = meetergo
        self.database = database

    def run(self, *words: str, **settings: str) -> Result:
        env = {**self.settings, **{name.upper(): value for name, value in settings.items()}}
        result = CliRunner().invoke(cli, words, env=env)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        for secret in (*self.secrets, self.meetergo.key):
            assert secret not in result.output
        return result

    @property
    def secrets(self) -> Sequence[str]:
        return [address.rpartition("/")[2] for address in self.addresses(OLD_KEY, NEW_KEY)]

    def addresses(self, *keys: str) -> list[str]:
        return [self.settings["PUBLIC_URL"] + path for path in AddressSigner(keys).paths("default")]

    def endpoints(self) -> list[Endpoint]:
        with self.database.read_only() as session:
            return list(Endpoint.all(session, DEFAULT))

    def users(self) -> list[PlatformUser]:
        with self.database.read_only() as session:
            return list(session.scalars(select(PlatformUser).order_by(PlatformUser.external_id)))

    def registered(self) -> dict[str, str]:
        return {str(webhook["id"]): webhook["endpoint"] for webhook in self.meetergo.webhooks}

    def request_count(self, route: str) -> int:
        return self.meetergo.requests[route]


@pytest.fixture
def meetergo() -> Iterator[Sandbox]:
    with sandbox() as stand_in:
        yield stand_in


@pytest.fixture
def open_operator(
    database: Database, database_url: str, redis: Redis, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Operator]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(consistency, "READ_AFTER_WRITE_DELAY", timedelta())

    def open_with(meetergo: Sandbox, **settings: str) -> Operator:
        usual = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "WEBHOOK_KEYS": OLD_KEY,
            "PUBLIC_URL": PUBLIC_URL,
            "MEETERGO_API_URL": meetergo.url,
            "MEETERGO_API_KEY": meetergo.key,
            "MEETERGO_API_PER_MINUTE": "100000",
        }
        return Operator({**usual, **settings}, meetergo, database)

    return open_with


@pytest.fixture
def operator(open_operator: Callable[..., Operator], meetergo: Sandbox) -> Operator:
    return open_operator(meetergo)
