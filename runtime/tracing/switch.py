"""Whether the standard OTEL_* variables ask for traces. Unless they do, nothing of OpenTelemetry is imported."""

import os
from collections.abc import Mapping
from importlib.util import find_spec

from runtime.settings import exit_with_message

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTER, PROTOCOL = "otlp", "http/protobuf"
PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_is_on = False


def is_requested(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether traces are asked for: by an exporter, or by an endpoint without the exporter `none`."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return exporter != "none" if exporter else any(environ.get(name, "").strip() for name in ENDPOINTS)


def check() -> None:
    """Check the variables before serving or forking, once the settings, and so `.env`, are loaded.

    Raises:
        SystemExit: traces are asked for, and cannot be made; a message says why.
    """
    if start("check"):
        stop()


def validate(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether traces are asked for.

    Raises:
        SystemExit: they are, and cannot be made; a message says what to do.
    """
    if not is_requested(environ):
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter not in ("", EXPORTER):
        exit_with_message(f"OTEL_TRACES_EXPORTER cannot be used: it is neither {EXPORTER} nor none.")
    for name in PROTOCOLS:
        if environ.get(name, "").strip().lower() not in ("", PROTOCOL):
            exit_with_message(f"{name} cannot be used: traces are exported by {PROTOCOL} alone.")
    if not all(map(_is_installed, PACKAGES)):
        exit_with_message(
            "OTEL_* variables ask for traces, whose packages are missing: pip install -r requirements-otel.txt"
        )
    return True


def start(process: str) -> bool:
    """Start exporting traces in this process if they are asked for. Call it after forking: a thread exports them.

    Args:
        process: `receiver`, `worker`, `scheduler`, `dashboard` or `api`.

    Returns:
        Whether traces are made.

    Raises:
        SystemExit: they are asked for, and cannot be made.
    """
    global _is_on
    if validate() and not _is_on:
        from runtime.tracing.provider import start_provider  # late: imports OpenTelemetry

        try:
            start_provider(process)
        except ValueError as error:
            exit_with_message(f"An OTEL_* variable cannot be used: {error}.")
        _is_on = True
    return _is_on


def is_on() -> bool:
    """Whether this process makes traces."""
    return _is_on


def stop() -> None:
    """Export the remaining spans, and make no more traces in this process."""
    global _is_on
    if _is_on:
        from runtime.tracing.provider import stop_provider

        stop_provider()
        _is_on = False


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
