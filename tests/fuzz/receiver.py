"""Fuzzed requests to the real app: answered in time, and only authenticated ones are stored."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from redis import Redis
from sqlalchemy import select

from models.account import DEFAULT
from models.delivery import delivery_id
from models.migrate import migrate
from models.tables import Delivery
from receiver.app import create_app
from receiver.settings import ReceiverSettings
from runtime.database import Database
from runtime.queue import JobQueue
from runtime.redis.client import connect
from tests.fuzz.corpus import WORDS
from tests.fuzz.fuzz_request import MAX_BODY, FuzzRequest, request_fuzzer
from tests.fuzz.mutation import Mutator
from tests.fuzz.report import Report
from tests.fuzz.signed import SCHEMES, SECRET
from tests.fuzz.verifier import KEYS
from tests.receiver.in_process import ReceiverInProcess

LOOK_EVERY = 250


class ReceiverUnderTest:
    """One receiver, and what it should have stored.

    Attributes:
        scheme: the required signature scheme; empty for none.
        app: the receiver.
        load: ids of what it acknowledged.
    """

    def __init__(self, scheme: str, app: ReceiverInProcess) -> None:
        self.scheme = scheme
        self.app = app
        self.kept: set[str] = set()

    def stored(self) -> set[str]:
        """Return the ids of stored deliveries."""
        with self.app.app.ingest.database.read_only() as session:
            return set(session.scalars(select(Delivery.id)))


def fuzz_receiver(seed: int, requests: int, folder: Path, redis_url: str) -> Report:
    """Send requests to five receivers: without a signature, and with each scheme."""
    report, maker = Report("receiver"), request_fuzzer(Mutator(Random(seed), WORDS))
    with _receivers(folder, redis_url) as receivers, connect(redis_url) as redis:
        redis.flushall()
        for number in range(requests):
            receiver = receivers[number % len(receivers)]
            _try(report, receiver, maker.fuzz_request(receiver.scheme))
            if number % LOOK_EVERY == 0 or number == requests - 1:
                _check_stores(report, receivers, redis)
    return report


@contextmanager
def _receivers(folder: Path, redis_url: str) -> Iterator[list[ReceiverUnderTest]]:
    receivers = [ReceiverUnderTest(scheme, _receiver(scheme, folder, redis_url)) for scheme in ("", *SCHEMES)]
    try:
        yield receivers
    finally:
        for receiver in receivers:
            receiver.app.app.ingest.close()


def _receiver(scheme: str, folder: Path, redis_url: str) -> ReceiverInProcess:
    url = f"sqlite:///{folder / (scheme or 'plain')}.db"
    database = Database(url)
    migrate(database.engine)
    database.close()
    settings: dict[str, Any] = dict(database_url=url, redis_url=redis_url, webhook_keys=KEYS, webhook_max_body=MAX_BODY)
    signature: dict[str, Any] = {}
    if scheme:
        signature = dict(webhook_signature_scheme=scheme, webhook_signature_secrets=[SECRET])
        signature["webhook_address_optional"] = True  # so that a signature alone is tested too
    app = create_app(ReceiverSettings(_env_file=None, **settings, **signature))  # type: ignore[call-arg] # pydantic's
    return ReceiverInProcess(app)


def _try(report: Report, receiver: ReceiverUnderTest, fuzz_request: FuzzRequest) -> None:
    quote = (receiver.scheme, fuzz_request)
    answer = report.run(partial(_answer, receiver.app, fuzz_request), quote)
    if answer is None:
        return
    status, body = answer
    report.outcomes[str(status)] += 1
    if not 200 <= status < 500:
        report.violate(f"answered {status}", quote)
    if b"accepted" in body:
        _check_acceptance(report, receiver, fuzz_request, json.loads(body)["delivery"])


def _answer(app: ReceiverInProcess, fuzz_request: FuzzRequest) -> tuple[int, bytes]:
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Any:
        heads.append((status, headers))

    parts = app.wsgi(fuzz_request.opened(), start_response)
    body = b"".join(parts)
    [(status, headers)] = heads
    assert not [line for header in headers for line in header if {"\r", "\n"} & set(line)], "a split header"
    return int(status[:3]), body


def _check_acceptance(report: Report, receiver: ReceiverUnderTest, fuzz_request: FuzzRequest, accepted_id: str) -> None:
    report.outcomes["accepted"] += 1
    receiver.kept.add(accepted_id)
    if not fuzz_request.is_acceptable(receiver.scheme):
        report.violate("accepted what nobody vouched for", (receiver.scheme, fuzz_request))
    if accepted_id != delivery_id(fuzz_request.body, DEFAULT) or not fuzz_request.is_whole():
        report.violate("accepted other bytes than were sent", (receiver.scheme, fuzz_request))


def _check_stores(report: Report, receivers: list[ReceiverUnderTest], redis: Redis) -> None:
    """Check that the stores hold what was acknowledged, and at most one trigger."""
    for receiver in receivers:
        if receiver.stored() != receiver.kept:
            report.violate("stored is not acknowledged", (receiver.scheme, receiver.stored() ^ receiver.kept))
    if JobQueue(redis).queue("inbox").count > bool([receiver for receiver in receivers if receiver.kept]):
        report.violate("queued more than one drain", redis.keys())
