"""Traces with OpenTelemetry. Until it is known that they are asked for, import only `switch`."""
