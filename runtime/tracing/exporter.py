"""The exporter: OTLP over HTTP. Failed exports are logged as one outage, without the collector's address."""

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from runtime.outage import Outage


class NotExported(Exception):
    """The collector did not accept spans; they are lost."""


class OutageLoggingExporter(SpanExporter):
    """Exports to the collector that OTEL_EXPORTER_OTLP_* name.

    OpenTelemetry's own log lines are silenced: they quote the collector's responses, and its URL with any token.
    """

    def __init__(self) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._exporter, self._outage = OTLPSpanExporter(), Outage("traces.not_exported")

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans, or drop them."""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
            if result is not SpanExportResult.SUCCESS:
                raise NotExported
        except Exception as error:
            self._outage.record_failure(error, spans=len(spans))
        else:
            self._outage.record_recovery()
        return result

    def shutdown(self) -> None:
        """Give up on exports in progress."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call] # it has types, but not here
