"""The tracer provider of a process: exports spans by OTLP over HTTP, and derives the ids of a delivery's trace."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from multiprocessing.util import Finalize
from threading import Thread
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer, set_span_in_context

from runtime.tracing import statements
from runtime.tracing.exporter import OutageLoggingExporter
from runtime.version import VERSION

SERVICE = "meetergo-inbox"
MAX_ATTRIBUTE_LENGTH = 1_000
FLUSH_TIMEOUT = timedelta(seconds=2)
"""How long an exiting process waits for its last spans to be exported: the collector may be down."""
DELIVERY_ID = re.compile("[0-9a-f]{64}")


class RootIds(NamedTuple):
    """The ids of a root span."""

    trace_id: int
    span_id: int


_next_root: ContextVar[RootIds | None] = ContextVar("next_root", default=None)
_provider: TracerProvider | None = None


class DeliveryIdGenerator(RandomIdGenerator):
    """Gives the next root span the ids that `root_of` chose, and random ones to all others."""

    def generate_trace_id(self) -> int:
        """Return a trace id."""
        root = _next_root.get()
        return root.trace_id if root else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return a span id."""
        root = _next_root.get()
        return root.span_id if root else super().generate_span_id()


def start_provider(process: str) -> None:
    """Start making spans, including one of each SQL statement within another span.

    Args:
        process: name of the process.
    """
    global _provider
    ours = {"service.name": f"{SERVICE}-{process}", "service.namespace": SERVICE, "service.version": VERSION}
    given = OTELResourceDetector().detect()  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
    processor = BatchSpanProcessor(OutageLoggingExporter())
    _provider = TracerProvider(
        resource=Resource.create(ours).merge(given),
        id_generator=DeliveryIdGenerator(),
        span_limits=SpanLimits(max_span_attribute_length=MAX_ATTRIBUTE_LENGTH),
        shutdown_on_exit=False,
    )
    _provider.add_span_processor(processor)
    statements.listen(tracer())
    Finalize(None, stop_provider, exitpriority=1)  # atexit does not run in a multiprocessing child


def stop_provider() -> None:
    """Export the remaining spans, within FLUSH_TIMEOUT."""
    global _provider
    if _provider:
        statements.ignore()
        flush = Thread(target=_provider.shutdown, daemon=True)
        flush.start()
        flush.join(FLUSH_TIMEOUT.total_seconds())
        _provider = None


def tracer() -> Tracer:
    """Return this process's tracer.

    Raises:
        RuntimeError: tracing is not started; see `runtime.tracing.switch`.
    """
    return _started().get_tracer(SERVICE, VERSION)


def delivery_context(delivery_id: str | None) -> Context | None:
    """Return the context of a delivery's root span, the parent of its other spans; None if the id is not one.

    The ids are parts of the delivery's id, the SHA-256 of its body: each process can derive them, and no row or job has
    to carry them. The sampler decides by the trace id, so all processes decide alike.
    """
    ids = _root_ids(delivery_id)
    if ids is None:
        return None
    decision = _started().sampler.should_sample(Context(), ids.trace_id, "delivery").decision
    is_sampled = decision is Decision.RECORD_AND_SAMPLE
    flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
    return set_span_in_context(NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=flags)), Context())


@contextmanager
def root_of(delivery_id: str | None) -> Iterator[None]:
    """Make the span that is started in this block, in an empty context, the root of a delivery's trace."""
    token = _next_root.set(_root_ids(delivery_id))
    try:
        yield
    finally:
        _next_root.reset(token)


def _root_ids(delivery_id: str | None) -> RootIds | None:
    if not delivery_id or not DELIVERY_ID.fullmatch(delivery_id):
        return None
    return RootIds(int(delivery_id[:32], 16), int(delivery_id[32:48], 16))


def _started() -> TracerProvider:
    if _provider is None:
        raise RuntimeError("this process makes no traces")
    return _provider
