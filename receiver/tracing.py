"""Traces of the receiver: the request that begins a delivery's trace, and the commit. Imported only if asked for."""

import time
from collections.abc import Sequence

from granian.rsgi import HTTPProtocol  # type: ignore[attr-defined] # its documented module
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from models.delivery import NewDelivery
from receiver.auth import RequestHead
from receiver.ingest import Ingest
from receiver.webhook import ReceiverApp
from runtime.http.wsgi import RawResponse
from runtime.signed_address import WEBHOOK_PATH
from runtime.tracing.provider import root_of, tracer
from runtime.tracing.spans import DELIVERY, batch_span

NAME = f"POST {WEBHOOK_PATH}"


class TracedReceiverApp(ReceiverApp):
    """The receiver, with a span of each webhook that it accepted or could not keep.

    Rejected requests get none: anyone could fill the collector with them.
    """

    async def _respond(self, head: RequestHead, protocol: HTTPProtocol) -> RawResponse:
        started = time.time_ns()
        response = await super()._respond(head, protocol)
        status, headers, _ = response
        if status == 200 or status >= 500:
            _record(started, status, dict(headers).get("X-Delivery-Id"))
        return response


def _record(started: int, status: int, delivery_id: str | None) -> None:
    attributes: dict[str, str | int] = {"http.request.method": "POST", "http.route": WEBHOOK_PATH}
    attributes |= {"http.response.status_code": status} | ({DELIVERY: delivery_id} if delivery_id else {})
    with root_of(delivery_id):
        span = tracer().start_span(NAME, Context(), SpanKind.SERVER, attributes, start_time=started)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
    span.end()


class TracedIngest(Ingest):
    """Ingest, with a span of each commit, which several deliveries may share."""

    def _persist(self, new_deliveries: Sequence[NewDelivery]) -> bool:
        with batch_span("store deliveries", [each.id for each in new_deliveries]):
            return super()._persist(new_deliveries)
