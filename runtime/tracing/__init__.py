"""Traces with OpenTelemetry. Only `switch` may be imported before it is known that they are asked for."""
