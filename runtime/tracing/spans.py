"""Spans of our work. Their attributes are ids of deliveries and notifications, names of our code, and numbers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span

from runtime.tracing.provider import delivery_context, tracer

DELIVERY, NOTIFICATION = "meetergo_inbox.delivery.id", "meetergo_inbox.notification.id"
COUNT = "meetergo_inbox.deliveries"

Attribute = str | int | bool


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    links: Sequence[Link] = (),
    attributes: Mapping[str, Attribute] | None = None,
) -> Iterator[Span]:
    """Make a span of the block. Only the type of an exception is recorded: its message may hold personal data.

    Args:
        name: its name.
        kind: its kind.
        context: its parent's; None for the current span's.
        links: to spans of other traces.
        attributes: its attributes.
    """
    with tracer().start_as_current_span(
        name,
        context,
        kind,
        attributes,
        links,
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            mark_failed(current, error)
            raise


@contextmanager
def batch_span(name: str, delivery_ids: Sequence[str]) -> Iterator[Span]:
    """Make a span of the block: for one delivery in its trace, for several in a new trace with links to theirs."""
    contexts = [context for each in delivery_ids if (context := delivery_context(each))]
    is_one = len(contexts) == 1
    links = [] if is_one else [Link(get_current_span(context).get_span_context()) for context in contexts]
    parent = contexts[0] if is_one else None
    with span(name, context=parent, links=links, attributes={COUNT: len(delivery_ids)}) as current:
        yield current


def mark_failed(failed: Span, error: BaseException) -> None:
    """Record that a span's work failed, with only the type of the error."""
    failed.set_attribute("error.type", type(error).__name__)
    failed.set_status(Status(StatusCode.ERROR))
