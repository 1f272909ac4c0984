"""The door: how many deliveries it takes, how soon it answers, and beside whom."""

from benchmarks.door.measurement import measure as measure
from benchmarks.door.page import promises as promises
from benchmarks.door.page import show as show
