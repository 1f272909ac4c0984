"""The receiver: its throughput and latency, beside other receivers."""

from benchmarks.receiver.measurement import measure as measure
from benchmarks.receiver.report import promises as promises
from benchmarks.receiver.report import show as show
