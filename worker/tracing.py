"""Traces of workers and scheduler: jobs, batches, deliveries, messages and tasks. Imported only if asked for."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, Span, SpanKind, get_current_span
from rq import Queue
from rq.job import Job

from models.delivery import DueKind
from runtime.redis.allowed_jobs import STORE_DEFERRED
from runtime.tracing.provider import delivery_context, root_of, tracer
from runtime.tracing.spans import DELIVERY, NOTIFICATION, mark_failed, span
from worker.drain_result import DrainResult
from worker.inbox.batch import Outcome
from worker.inbox.handlers import HANDLERS
from worker.inbox.processor import InboxProcessor
from worker.outbox.claimed import SendAttempt
from worker.outbox.planner import RoutedNotification
from worker.outbox.sender import OutboxSender

Task = Callable[..., object]

MIN_INTERVAL = timedelta(seconds=5)
"""Tasks that run more often are not traced: they look for work, and find none most of the time."""


def job_span(job: Job, queue: Queue) -> AbstractContextManager[Span]:
    """Return the span of a job. One that stores a body which waited in Redis belongs to that delivery's trace."""
    name = job.func_name or ""
    context = delivery_context(job.args[0]) if name == STORE_DEFERRED else None
    attributes = {"messaging.destination.name": queue.name}
    return span(f"job {name.rpartition('.')[2]}", SpanKind.CONSUMER, context, attributes=attributes)


class TracedInboxProcessor(InboxProcessor):
    """The processor of deliveries, with a span for each batch, and one for each delivery in its own trace."""

    def _process_kind(self, kind: DueKind, *, is_shared: bool) -> DrainResult:
        with span("process deliveries", attributes={"meetergo_inbox.due": kind}):
            return super()._process_kind(kind, is_shared=is_shared)

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        super()._report(outcomes)
        batch = get_current_span()
        for outcome in outcomes:
            _record(outcome, batch)


def _record(outcome: Outcome, batch: Any) -> None:
    """Make a delivery's span, with the duration of its batch. The batch and the delivery link to each other."""
    delivery = outcome.delivery
    status = "confirming" if outcome.awaits_check else delivery.status
    started = batch.start_time if isinstance(batch, ReadableSpan) else time.time_ns()
    is_root = delivery.source != "webhook"  # no request began its trace
    with root_of(delivery.id if is_root else None):
        delivery_span = tracer().start_span(
            f"process {delivery.event if delivery.event in HANDLERS else 'other'}",
            Context() if is_root else delivery_context(delivery.id),
            SpanKind.CONSUMER,
            {DELIVERY: delivery.id, "meetergo_inbox.status": status, "meetergo_inbox.attempts": delivery.attempts},
            [Link(batch.get_span_context())],
            started,
        )
    if outcome.error:
        mark_failed(delivery_span, outcome.error)
    batch.add_link(delivery_span.get_span_context())
    delivery_span.end()


class TracedOutboxSender(OutboxSender):
    """The sender, with a span for each message in the trace of the delivery that caused it."""

    def _send(self, routed: RoutedNotification, destination: str = "") -> SendAttempt:
        notification = routed.notification
        context = delivery_context(notification.delivery_id)
        with span(f"send {notification.channel}", SpanKind.PRODUCER, context) as current:
            current.set_attribute(NOTIFICATION, notification.message_id)
            current.set_attribute("meetergo_inbox.kind", notification.kind)
            if notification.delivery_id:
                current.set_attribute(DELIVERY, notification.delivery_id)
            attempt = super()._send(routed, destination)
            if attempt.error:
                mark_failed(current, attempt.error)
            current.set_attribute("meetergo_inbox.skipped", bool(attempt.skip_reason))
            return attempt


def traced_schedule(schedule: Mapping[str, tuple[timedelta, Task]]) -> dict[str, tuple[timedelta, Task]]:
    """Return the schedule with a span for each run of a task."""
    return {
        name: (interval, task if interval < MIN_INTERVAL else _traced(name, task))
        for name, (interval, task) in schedule.items()
    }


def _traced(name: str, task: Task) -> Task:
    def run(*arguments: Any) -> object:
        with span(f"task {name}"):
            return task(*arguments)

    return run
