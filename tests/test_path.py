"""The path of one webhook: the files that a reader has to know, counted by tracing a real one.

The first webhook of a process is traced, with a host who is notified by a signed POST: the longest path in its default
settings (no signature header, no metrics, no hook, no check of cancellations). A constant holds what is true today;
it may only become smaller.
"""

import asyncio
import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import event

from devtools.demo.webhook_sink import open_webhook_sink
from devtools.send import samples
from models.delivery import Delivery
from models.notification import Notification
from tests.path_trace import ROOT, Trace, tracing
from tests.receiver.conftest import ADDRESS, MakeApp, make_app
from tests.receiver.in_process import Headers, Protocol, Scope
from tests.worker.conftest import open_harness
from tests.worker.harness import AT, START, Harness
from worker.jobs import drain

__all__ = ["make_app", "open_harness"]  # fixtures

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

PAGE = ROOT / "docs" / "path.md"

FILES = {"request": 8, "job": 20, "send": 10}
"""How many files of ours each stretch passes today. Lower a number when it shrinks; never raise it."""
GOALS = {"request": 8, "job": 14, "send": 10}
"""How many it should pass. The first and the last are reached; docs/path.md says why the second is not."""
MAX_REQUEST_DEPTH = 8
"""Frames of ours on the stack of the event loop or of a thread. The goal was 10."""

SECRET = "whsec_" + base64.b64encode(b"a secret of twenty-four b").decode()


class WebhookPath(NamedTuple):
    """Its three stretches."""

    request: Trace
    job: Trace
    send: Trace


@pytest.fixture
def path(make_app: MakeApp, open_harness: Callable[..., Harness]) -> WebhookPath:
    with open_webhook_sink(SECRET) as sink:
        harness = open_harness(notify_default=sink.url, notify_signing_secret=SECRET)
        harness.add_user(meetergo_user_id=samples.HOST_ID)
        traced = WebhookPath(trace_request(make_app), trace_job(harness), trace_send())
        assert list(sink.received.values()) == ["booking.created"]
    print(*traced, sep="\n\n")
    return traced


def trace_request(make_app: MakeApp) -> Trace:
    body = json.dumps(samples.created("b1", START, AT)).encode()
    scope, protocol = Scope(Headers([("content-length", str(len(body)))]), path=ADDRESS), Protocol([body])

    async def serve() -> None:
        await make_app(web_threads=1).app.__rsgi__(scope, protocol)  # type: ignore[arg-type] # Granian's, as far as used
        trace.end()

    with tracing("ReceiverApp.__rsgi__") as trace:
        asyncio.run(serve())
    assert protocol.responses[0][0] == 200
    return trace


def trace_job(harness: Harness) -> Trace:
    forget_queries(Delivery._due_query, Delivery._claim_query)
    engine = harness.services.database.engine
    statements: list[str] = []

    def note_statement(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    def end_after_booking(_connection: Any) -> None:
        if any(re.match(r"INSERT INTO (\w+\.)?bookings\b", statement) for statement in statements):
            trace.end()

    with tracing("drain") as trace:
        event.listen(engine, "after_cursor_execute", note_statement)
        event.listen(engine, "commit", end_after_booking)
        drain("inbox")
    event.remove(engine, "after_cursor_execute", note_statement)
    event.remove(engine, "commit", end_after_booking)
    assert harness.booking().status == "confirmed"
    return trace


def trace_send() -> Trace:
    forget_queries(Notification._claim_query, Notification._look_ahead_query)
    with tracing("OutboxSender.process_due", "WebhookChannel.send") as trace:
        drain("outbox")
    return trace


def forget_queries(*builders: Any) -> None:
    """Forget queries that were built once, as in a process that has built none."""
    for build in builders:
        build.__func__.cache_clear()


@pytest.mark.parametrize("stretch", FILES)
def test_each_stretch_passes_as_many_files_as_noted_and_no_more(path: WebhookPath, stretch: str) -> None:
    trace = getattr(path, stretch)
    assert len(trace.files) == FILES[stretch], f"goal {GOALS[stretch]}\n{trace}"


def test_a_request_goes_at_most_eight_frames_deep(path: WebhookPath) -> None:
    assert len(path.request.deepest) <= MAX_REQUEST_DEPTH, str(path.request)


def test_the_page_lists_the_files_in_order(path: WebhookPath) -> None:
    assert listed_files(PAGE) == [list(stretch.files) for stretch in path]


def listed_files(page: Path) -> list[list[str]]:
    """The files of each part of the page, one of each numbered line."""
    parts = page.read_text().split("\n## ")[1:]
    return [re.findall(r"^\d+\. `([\w/.]+)`", part, re.MULTILINE) for part in parts]
