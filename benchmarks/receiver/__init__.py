"""The door: how many deliveries it takes, how soon it answers, and beside whom."""

from benchmarks.receiver.measurement import measure as measure
from benchmarks.receiver.report import promises as promises
from benchmarks.receiver.report import show as show
